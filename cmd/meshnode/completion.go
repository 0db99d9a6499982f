package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

const completionLong = `Prints a script that makes a shell complete this program's commands and flags.

  bash         source <(meshnode completion bash)     (needs bash-completion)
  zsh          source <(meshnode completion zsh)      (after compinit)
  fish         meshnode completion fish | source
  powershell   meshnode completion powershell | Out-String | Invoke-Expression

Put the line into the shell's start-up file to keep it.`

func newCompletion(a *app) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:       "completion bash|zsh|fish|powershell",
		Short:     "Print a completion script for a shell",
		Long:      completionLong,
		Example:   `  meshnode completion bash > /etc/bash_completion.d/meshnode`,
		ValidArgs: shells,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(shells, args[0]) {
				return fmt.Errorf("want one shell: %s", strings.Join(shells, ", "))
			}
			return nil
		},
		RunE: action(func(_ context.Context, cmd *cobra.Command, args []string) error {
			return a.completion(cmd.Root(), args[0])
		}),
	}
}

func (a *app) completion(root *cobra.Command, shell string) error {
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(a.stdout, true)
	case "zsh":
		return root.GenZshCompletion(a.stdout)
	case "fish":
		return root.GenFishCompletion(a.stdout, true)
	}
	return root.GenPowerShellCompletionWithDesc(a.stdout)
}
