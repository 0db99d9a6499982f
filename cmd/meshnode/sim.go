package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/sim/scenario"
)

const simLong = `Runs a whole mesh in this process, on a simulated network and in virtual time: the
nodes are those that 'meshnode run' runs, a minute takes a second or less, and a
failure that a seed brings comes again with the seed.

SCENARIO is one that is shipped (see 'meshnode sim list') or a file in YAML. While it
runs, invariants are checked all along: that all nodes agree in the end, that no call
is executed by who does not own its key, none twice that must not be, and more. The
exit status is 1 if one does not hold; the report then says when, why, and how to run
it again.

Natively, two runs with one seed differ in the order of what happens at one instant.
With --exact the scenario runs in a WebAssembly machine whose clock and random source
are the simulator's: the same seed gives the same trace, byte for byte. That needs the
go command once, to build the simulator for that machine, and takes some ten times as
long.`

const simExample = `  meshnode sim split-brain
  meshnode sim crash-one --nodes 100 --seed 7 --html report.html
  meshnode sim init > mine.yaml && meshnode sim mine.yaml --set workload.rate=500
  meshnode sim pause --exact -o json | jq -r .trace_hash
  meshnode sim fuzz --runs 100`

// simFlags are the flags of sim.
type simFlags struct {
	nodes    int
	seed     uint64
	duration string
	set      []string
	html     string
	trace    string
	exact    bool
	plant    []string
}

func newSim(a *app) *cobra.Command {
	var f simFlags
	cmd := &cobra.Command{
		Use:     "sim SCENARIO",
		Short:   "Run a mesh in virtual time, with faults, and check what must hold",
		Long:    simLong,
		Example: simExample,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("want one scenario: a file, or one of " + strings.Join(scenario.Names(), ", "))
			}
			return nil
		},
		ValidArgs: scenario.Names(),
		RunE: action(func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := loadScenario(args[0], &f)
			if err != nil {
				return err
			}
			return a.sim(ctx, s, args[0], &f)
		}),
	}
	flags := cmd.Flags()
	flags.IntVar(&f.nodes, "nodes", 0, "start `n` nodes instead of the scenario's number")
	flags.Uint64Var(&f.seed, "seed", 0, "decide all chance by this `number`; 0: the scenario's")
	flags.StringVar(&f.duration, "duration", "", "run the script for this `time`, such as 90s")
	flags.StringArrayVar(&f.set, "set", nil, "replace a value of the scenario, as `path=value`, such as workload.rate=500; may be repeated")
	flags.StringVar(&f.html, "html", "", "write a page with plots to this `file`")
	flags.StringVar(&f.trace, "trace", "", "write all that happened to this `file`, a line each")
	flags.BoolVar(&f.exact, "exact", false, "run so that the same seed gives the same trace, byte for byte")
	flags.StringArrayVar(&f.plant, "plant", nil, "plant a `bug` in the nodes, to see it found: "+strings.Join(scenario.Bugs(), ", "))
	_ = flags.MarkHidden("plant") // for tests of the simulator
	a.outputFlag(cmd)
	cmd.AddCommand(newSimList(a), newSimInit(a), newSimFuzz(a), newSimCompare(a), newSimWorker(a))
	return cmd
}

// loadScenario reads a scenario and puts the flags over it.
func loadScenario(name string, f *simFlags) (*scenario.Scenario, error) {
	text, err := scenarioText(name)
	if err != nil {
		return nil, err
	}
	set := append([]string(nil), f.set...)
	if f.nodes != 0 {
		set = append(set, fmt.Sprintf("nodes=%d", f.nodes))
	}
	if f.seed != 0 {
		set = append(set, fmt.Sprintf("seed=%d", f.seed))
	}
	if f.duration != "" {
		set = append(set, "duration="+f.duration)
	}
	if len(f.plant) > 0 {
		set = append(set, "plant=["+strings.Join(f.plant, ", ")+"]")
	}
	s, err := scenario.ParseWith(text, set)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// scenarioText gives a shipped scenario, or else a file.
func scenarioText(name string) ([]byte, error) {
	if text, err := scenario.Source(name); err == nil {
		return text, nil
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("%q is neither a file nor one of the shipped scenarios: %s", name, strings.Join(scenario.Names(), ", "))
	}
	return text, err
}

func newSimList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the scenarios that are shipped",
		Long:  "Lists the scenarios that are shipped, with what happens in each.",
		Example: `  meshnode sim list
  meshnode sim list -o json | jq -r '.[].name'`,
		Args: noArgs,
		RunE: action(func(context.Context, *cobra.Command, []string) error { return a.simList() }),
	}
	a.outputFlag(cmd)
	return cmd
}

// listedJSON is one scenario in the list.
type listedJSON struct {
	Name     string  `json:"name"`
	Nodes    int     `json:"nodes"`
	Profile  string  `json:"profile"`
	Duration float64 `json:"duration_s"`
	Story    string  `json:"story"`
}

func (a *app) simList() error {
	var all []listedJSON
	for _, name := range scenario.Names() {
		s, err := scenario.Shipped(name)
		if err != nil {
			return err
		}
		all = append(all, listedJSON{name, s.Nodes, s.Profile.String(), s.Duration.D().Seconds(), s.Story})
	}
	if a.json() {
		return a.printJSON(all)
	}
	for i, s := range all {
		lines := []string{fmt.Sprintf("%s (%d nodes, %s, %.0f s)", s.Name, s.Nodes, s.Profile, s.Duration)}
		for _, line := range wrap(s.Story, a.helpWidth()-2) {
			lines = append(lines, "  "+line)
		}
		if i < len(all)-1 {
			lines = append(lines, "")
		}
		if err := a.printLines(lines...); err != nil {
			return err
		}
	}
	return nil
}

func newSimInit(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "init",
		Short:   "Print a scenario to start from, with every setting explained",
		Long:    "Prints a scenario in YAML with every setting that there is, explained.",
		Example: "  meshnode sim init > mine.yaml",
		Args:    noArgs,
		RunE: action(func(context.Context, *cobra.Command, []string) error {
			_, err := a.stdout.Write(scenario.Template())
			return err
		}),
	}
}
