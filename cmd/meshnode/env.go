package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// envPrefix begins the names of all variables that are read.
const envPrefix = "MESHNODE_"

// exclusive marks flags of which one at most may be given: a variable must not
// stand beside a flag then.
const exclusive = "meshnode_exclusive"

// envName is the variable of a flag: --gossip-key is MESHNODE_GOSSIP_KEY.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// documentEnv names each flag's variable in its help.
func documentEnv(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		documentEnv(cmd)
		cmd.Flags().SortFlags = false
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			f.Usage += " [" + envName(f.Name) + "]"
		})
	}
}

// applyEnv sets the flags that were not given from their variables.
func applyEnv(cmd *cobra.Command) error {
	flags := cmd.Flags()
	chosen := false // on the command line
	flags.Visit(func(f *pflag.Flag) { chosen = chosen || f.Annotations[exclusive] != nil })
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		text := os.Getenv(envName(f.Name))
		if text == "" || f.Changed || f.Name == "help" || failed != nil {
			return
		}
		if chosen && f.Annotations[exclusive] != nil {
			return
		}
		if err := setFromEnv(flags, f, text); err != nil {
			failed = invalidValue(envName(f.Name), text, err)
		}
	})
	return failed
}

func setFromEnv(flags *pflag.FlagSet, f *pflag.Flag, text string) error {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		f.Changed = true
		return list.Replace(strings.Split(text, ","))
	}
	if err := f.Value.Set(text); err != nil {
		return err
	}
	f.Changed = true
	return nil
}
