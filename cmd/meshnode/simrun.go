package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/sim/report"
	"github.com/meshnode/meshnode/sim/scenario"
)

// sim runs a scenario and shows what it was.
func (a *app) sim(ctx context.Context, s *scenario.Scenario, name string, f *simFlags) (err error) {
	opts := scenario.Options{Stalled: a.stalled, Progress: a.simProgress()}
	if f.trace != "" {
		file, err := os.Create(f.trace)
		if err != nil {
			return err
		}
		out := &buffered{to: file}
		defer func() {
			if cerr := out.close(); err == nil {
				err = cerr
			}
		}()
		opts.Trace = out
	}
	run := runHere
	if f.exact {
		run = a.runExact
	}
	r, err := run(ctx, s, opts)
	a.endProgress()
	if err != nil {
		return err
	}
	r.Replay = replayOf(name, s, f)
	return a.showResult(r, f.html)
}

// runHere runs a scenario in this process.
func runHere(_ context.Context, s *scenario.Scenario, opts scenario.Options) (*scenario.Result, error) {
	defer roomFor(s)()
	return scenario.Run(s, opts)
}

// manyNodes is from how many nodes on memory is given for time.
const (
	manyNodes   = 100
	simGC       = 400      // percent
	simMemory   = 23 << 28 // bytes (5.75 GiB), beyond which the collector works harder
	barColumns  = 24
	bytesBuffer = 1 << 20
)

// roomFor has the garbage collector run less often for large simulations, unless
// the environment says how often. It gives what takes that back.
func roomFor(s *scenario.Scenario) (undo func()) {
	if s.Nodes < manyNodes || os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	percent, limit := debug.SetGCPercent(simGC), debug.SetMemoryLimit(simMemory)
	return func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}
}

// replayOf is the command that runs a scenario again.
func replayOf(name string, s *scenario.Scenario, f *simFlags) string {
	command := fmt.Sprintf("meshnode sim %s --nodes %d --seed %d", quoteArg(name), s.Nodes, max(s.Seed, 1))
	if f.duration != "" {
		command += " --duration " + f.duration
	}
	for _, one := range f.set {
		command += " --set " + quoteArg(one)
	}
	for _, bug := range f.plant {
		command += " --plant " + bug
	}
	if f.exact {
		command += " --exact"
	}
	return command
}

// showResult prints a result, and fails if something broke.
func (a *app) showResult(r *scenario.Result, page string) error {
	if page != "" {
		var b bytes.Buffer
		if err := report.HTML(&b, r); err != nil {
			return err
		}
		if err := os.WriteFile(page, b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if a.json() {
		if err := a.printJSON(r); err != nil {
			return err
		}
	} else if err := a.textResult(r, page); err != nil {
		return err
	}
	if len(r.Broken) == 0 {
		return nil
	}
	return &failure{code: rpc.Internal, logged: !a.json(), err: fmt.Errorf("%s of %s broke: %s", plural(len(r.Broken), "invariant", "invariants"), r.Scenario, r.Broken[0].Invariant)}
}

func (a *app) textResult(r *scenario.Result, page string) error {
	columns, _, ok := terminalSize(a.stdout)
	if !ok {
		columns = 100
	}
	var styles []report.Style
	if colours(a.stdout) {
		styles = append(styles, report.Coloured)
	}
	if err := report.Text(a.stdout, r, columns, styles...); err != nil {
		return err
	}
	if page != "" {
		return a.printLines("", "plots: "+page)
	}
	return nil
}

// stalled ends the program: a simulation whose time stands still cannot be ended
// otherwise.
func (a *app) stalled(err error, stacks []byte) {
	fmt.Fprintf(a.stderr, "%s\nmeshnode sim: %v\n", stacks, err)
	os.Exit(exitFailure)
}

// simProgress draws how far a run is; nil if nobody would see it.
func (a *app) simProgress() func(at, total time.Duration) {
	if !isTerminal(a.stderr) {
		return nil
	}
	return func(at, total time.Duration) {
		fraction := min(at.Seconds()/max(total.Seconds(), 1e-9), 1)
		fmt.Fprintf(a.stderr, "\r%-24s│ %3.0f%%  %.1f s of virtual time\x1b[K", bar(fraction, barColumns), 100*fraction, at.Seconds())
	}
}

func (a *app) endProgress() {
	if isTerminal(a.stderr) {
		fmt.Fprint(a.stderr, "\r\x1b[K")
	}
}

// buffered writes a file in large pieces.
type buffered struct {
	to  *os.File
	buf []byte
}

// Write implements io.Writer.
func (b *buffered) Write(p []byte) (int, error) {
	if b.buf = append(b.buf, p...); len(b.buf) < bytesBuffer {
		return len(p), nil
	}
	_, err := b.to.Write(b.buf)
	b.buf = b.buf[:0]
	return len(p), err
}

func (b *buffered) close() error {
	_, err := b.to.Write(b.buf)
	if cerr := b.to.Close(); err == nil {
		err = cerr
	}
	return err
}

func newSimCompare(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "compare A.json B.json",
		Short: "Compare two results of runs",
		Long: `Compares the results of two runs, as 'meshnode sim SCENARIO -o json' prints them: each
figure of both, the change, and a mark where the second is worse by more than a tenth.`,
		Example: `  meshnode sim pause -o json > before.json
  meshnode sim pause -o json > after.json
  meshnode sim compare before.json after.json`,
		Args: exactly(2, "two files"),
		RunE: action(func(_ context.Context, _ *cobra.Command, args []string) error {
			var both [2]*scenario.Result
			for i, path := range args {
				r, err := loadResult(path)
				if err != nil {
					return err
				}
				both[i] = r
			}
			if a.json() {
				return a.printJSON(map[string]any{"a": both[0].Summary, "b": both[1].Summary})
			}
			columns, _, ok := terminalSize(a.stdout)
			if !ok {
				columns = 100
			}
			return report.Compare(a.stdout, both[0], both[1], columns)
		}),
	}
	a.outputFlag(cmd)
	return cmd
}

func loadResult(path string) (*scenario.Result, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r, err := report.Load(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// newSimWorker is what fuzz starts, one for each core: it reads scenarios, a JSON
// string on each line, and writes results, a line each.
func newSimWorker(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    "worker",
		Short:  "Run scenarios for fuzz",
		Hidden: true,
		Args:   noArgs,
		RunE: action(func(context.Context, *cobra.Command, []string) error {
			return a.simWorker()
		}),
	}
}

// workAnswer is what a worker says of a scenario.
type workAnswer struct {
	Result *scenario.Result `json:"result,omitempty"`
	Error  string           `json:"error,omitempty"`
}

func (a *app) simWorker() error {
	in, out := json.NewDecoder(a.stdin), json.NewEncoder(a.stdout)
	for {
		var text string
		if err := in.Decode(&text); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		var answer workAnswer
		s, err := scenario.Parse(bytes.NewReader([]byte(text)))
		if err == nil {
			answer.Result, err = scenario.Run(s, scenario.Options{Stalled: a.stalled, StopAtBroken: true})
		}
		if err != nil {
			answer.Error = err.Error()
		} else {
			answer.Result.Series = scenario.Series{}
		}
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
}
