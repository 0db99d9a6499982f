package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newHelp gives the command that explains others.
func newHelp(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return fmt.Errorf("no command is called %q", strings.Join(args, " "))
			}
			about.InitDefaultHelpFlag()
			a.help(about, nil)
			return nil
		},
	}
}

// help explains cmd.
func (a *app) help(cmd *cobra.Command, _ []string) {
	var b strings.Builder
	b.WriteString(strings.TrimSpace(cmd.Long))
	if cmd.Long == "" {
		b.WriteString(cmd.Short)
	}
	b.WriteString("\n\nUsage:\n")
	if cmd.Runnable() || !cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s\n", cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s COMMAND [flags]\n", cmd.CommandPath())
	}
	for _, group := range cmd.Groups() {
		fmt.Fprintf(&b, "\n%s\n", group.Title)
		for _, sub := range cmd.Commands() {
			if sub.GroupID == group.ID && !sub.Hidden {
				fmt.Fprintf(&b, "  %-11s %s\n", sub.Name(), sub.Short)
			}
		}
	}
	if cmd.Runnable() && len(cmd.Groups()) == 0 && cmd.HasAvailableSubCommands() {
		b.WriteString("\nCommands:\n")
		for _, sub := range cmd.Commands() {
			if !sub.Hidden {
				fmt.Fprintf(&b, "  %-11s %s\n", sub.Name(), sub.Short)
			}
		}
	}
	if cmd.Example != "" {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", strings.TrimRight(cmd.Example, "\n"))
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\nA command's own help: %s COMMAND --help\n", cmd.CommandPath())
	}
	if cmd.Runnable() || !cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\nFlags, each also by the environment variable in brackets:\n%s", flagHelp(cmd.LocalFlags(), a.helpWidth()))
	}
	_, _ = a.stdout.Write([]byte(b.String()))
}

// helpWidth is how wide help may be, in columns.
func (a *app) helpWidth() int {
	columns, _, ok := terminalSize(a.stdout)
	if !ok {
		return 100
	}
	return min(columns, 120)
}

// flagHelp lists flags: names and values in one column, what they mean in the
// other, wrapped.
func flagHelp(flags *pflag.FlagSet, width int) string {
	var names, usages []string
	longest := 0
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "      --" + f.Name
		if f.Shorthand != "" {
			name = "  -" + f.Shorthand + ", --" + f.Name
		}
		names = append(names, strings.TrimRight(name+" "+value, " "))
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "[]" {
			usage += " (default " + f.DefValue + ")"
		}
		usages = append(usages, usage)
		longest = max(longest, len(names[len(names)-1]))
	})
	var b strings.Builder
	for i, name := range names {
		for j, line := range wrap(usages[i], width-longest-2) {
			if j > 0 {
				name = ""
			}
			fmt.Fprintf(&b, "%-*s  %s\n", longest, name, line)
		}
	}
	return b.String()
}

// wrap breaks text into lines of so many columns, at blanks.
func wrap(text string, columns int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > columns {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimLeft(line+" "+word, " ")
	}
	return append(lines, line)
}
