package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// The forms of output.
const (
	outputText = "text"
	outputJSON = "json"
)

// app is what all commands share: where they read and write, and the flags
// that most of them have.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	executable     func() (string, error) // this program, to run it again

	output string // text or json
	addr   string // of the node that is asked
	tls    tlsFlags
}

// execute runs the command that args name, and gives the exit status.
func (a *app) execute(ctx context.Context, args []string) int {
	root := newRoot(a)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	return a.report(cmd, err)
}

func (a *app) json() bool { return a.output == outputJSON }

// outputFlag gives cmd the flag -o.
func (a *app) outputFlag(cmd *cobra.Command) {
	choiceFlag(cmd, &a.output, "output", "o", outputText, "print text or json, in the `format` given", outputText, outputJSON)
}

// printJSON prints one document for programs that people can read too.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// printJSONLine prints one document of many, each on its line.
func (a *app) printJSONLine(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// printLines prints text for people.
func (a *app) printLines(lines ...string) error {
	for _, line := range lines {
		if _, err := fmt.Fprintln(a.stdout, line); err != nil {
			return err
		}
	}
	return nil
}

// load reads what an argument stands for: @file, - for standard input, or the
// text itself.
func (a *app) load(arg string) ([]byte, error) {
	switch {
	case arg == "-":
		return io.ReadAll(a.stdin)
	case len(arg) > 1 && arg[0] == '@':
		return os.ReadFile(arg[1:])
	}
	return []byte(arg), nil
}

// noArgs refuses arguments of commands that take none.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q", args[0])
	}
	return nil
}

// exactly refuses another number of arguments than n.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return fmt.Errorf("want %s, got %s", what, plural(len(args), "argument", "arguments"))
		}
		return nil
	}
}

// quoteArg gives an argument as a shell takes it.
func quoteArg(arg string) string {
	if strings.ContainsAny(arg, " '\"$`\\|&;<>()*?[]#~!{}\t\n") || arg == "" {
		return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	return arg
}
