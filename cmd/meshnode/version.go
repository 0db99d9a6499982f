package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/node"
)

// versionJSON is what version prints.
type versionJSON struct {
	Version  string `json:"version"`            // of the module; (devel) in a working copy
	Revision string `json:"revision,omitempty"` // of the source, if the build knows
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Protocol int    `json:"protocol"`
}

func newVersion(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Long: `Prints the version of this program, of the Go release that built it, and of the
protocol that it speaks. Nodes of one cluster must speak the same protocol.`,
		Example: `  meshnode version
  meshnode version -o json | jq -r .version`,
		Args: noArgs,
		RunE: action(func(context.Context, *cobra.Command, []string) error { return a.version() }),
	}
	a.outputFlag(cmd)
	return cmd
}

func (a *app) version() error {
	v := buildVersion()
	if a.json() {
		return a.printJSON(v)
	}
	return a.printLines(fmt.Sprintf("meshnode %s (%s, %s), protocol %d", v.Version, v.Go, v.Platform, v.Protocol))
}

func buildVersion() versionJSON {
	v := versionJSON{
		Version: "(devel)", Go: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, Protocol: node.Protocol,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Revision = s.Value
		}
	}
	return v
}
