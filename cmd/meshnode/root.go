package main

import "github.com/spf13/cobra"

// The groups of commands in the help.
const (
	groupRun   = "run"
	groupUse   = "use"
	groupOther = "other"
)

const rootLong = `meshnode lets a service's processes find each other and agree on who owns which
key, so that every request for a key reaches the one live process that owns it.
There is no coordinator: nodes gossip, and each computes the same table.

Try it on this machine, with five processes:

  meshnode dev --once`

// newRoot gives the command tree.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:               "meshnode",
		Short:             "Every request for a key reaches the one live process that owns it",
		Long:              rootLong,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return applyEnv(cmd) },
		// report does it in one line.
		DisableSuggestions:         true,
		SuggestionsMinimumDistance: 2,
	}
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Run nodes:"},
		&cobra.Group{ID: groupUse, Title: "Ask and use nodes that run:"},
		&cobra.Group{ID: groupOther, Title: "Other:"},
	)
	add := func(group string, cmds ...*cobra.Command) {
		for _, cmd := range cmds {
			cmd.GroupID = group
			root.AddCommand(cmd)
		}
	}
	add(groupRun, newRun(a), newDev(a), newSim(a))
	add(groupUse, newMembers(a), newHealth(a), newOwner(a), newExplain(a), newRing(a), newCall(a), newRoute(a), newOutbox(a), newStats(a), newLeave(a))
	add(groupOther, newCert(a), newKeygen(a), newVersion(a), newCompletion(a))
	root.SetHelpCommand(newHelp(a))
	root.SetHelpCommandGroupID(groupOther)
	root.SetHelpFunc(a.help)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagError(err) })
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	documentEnv(root)
	return root
}
