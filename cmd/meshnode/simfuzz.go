package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/sim/report"
	"github.com/meshnode/meshnode/sim/scenario"
)

const simFuzzLong = `Looks for faults in the mesh itself: it draws scenarios from seeds, small meshes under
load with one to eight faults of any kind, and runs them, one process for each core,
until an invariant breaks. Then it makes that scenario smaller as long as the invariant
still breaks, and writes it to a file that 'meshnode sim FILE' runs again.

The exit status is 1 if something broke.`

// fuzzFlags are the flags of sim fuzz.
type fuzzFlags struct {
	runs    int
	minutes float64
	seed    uint64
	out     string
	workers int
	plant   []string
}

func newSimFuzz(a *app) *cobra.Command {
	f := fuzzFlags{}
	cmd := &cobra.Command{
		Use:   "fuzz",
		Short: "Look for scenarios that break an invariant",
		Long:  simFuzzLong,
		Example: `  meshnode sim fuzz --runs 1000 --minutes 5
  meshnode sim fuzz --seed 20000 --out found.yaml`,
		Args: noArgs,
		RunE: action(func(ctx context.Context, _ *cobra.Command, _ []string) error { return a.simFuzz(ctx, &f) }),
	}
	flags := cmd.Flags()
	flags.IntVar(&f.runs, "runs", 1000, "run at most `n` scenarios")
	flags.Float64Var(&f.minutes, "minutes", 5, "stop after this many `minutes`")
	flags.Uint64Var(&f.seed, "seed", 1, "begin with the scenario of this `number`, and go on with the next ones")
	flags.StringVar(&f.out, "out", "", "write what broke, made small, to this `file`; default sim-fuzz-SEED.yaml")
	flags.IntVar(&f.workers, "workers", runtime.GOMAXPROCS(0), "run so many `processes` at once")
	flags.StringArrayVar(&f.plant, "plant", nil, "plant a `bug` in the nodes")
	_ = flags.MarkHidden("plant") // for tests of the simulator
	a.outputFlag(cmd)
	return cmd
}

// fuzzJSON is what fuzz prints.
type fuzzJSON struct {
	Runs     int               `json:"runs"`
	WallS    float64           `json:"wall_s"`
	VirtualS float64           `json:"virtual_s"`
	Broken   []scenario.Broken `json:"broken"`
	Seed     uint64            `json:"seed,omitempty"`   // of what broke
	Faults   int               `json:"faults,omitempty"` // left after shrinking
	File     string            `json:"file,omitempty"`
}

func (a *app) simFuzz(ctx context.Context, f *fuzzFlags) error {
	if f.runs < 1 || f.minutes <= 0 || f.workers < 1 {
		return usagef("--runs, --minutes and --workers must be above 0")
	}
	limited, cancel := context.WithTimeout(ctx, time.Duration(f.minutes*float64(time.Minute)))
	defer cancel()
	pool, err := a.startWorkers(f.workers)
	if err != nil {
		return err
	}
	defer pool.close()
	began := time.Now()
	s, r, done, err := a.search(limited, pool, f)
	if err != nil {
		return err
	}
	a.endProgress()
	out := fuzzJSON{Runs: done.runs, VirtualS: done.virtual.Seconds(), Broken: []scenario.Broken{}}
	if r != nil {
		if s, r, err = a.shrink(ctx, pool, s, r); err != nil {
			return err
		}
		out.Broken, out.Seed, out.Faults = r.Broken, s.Seed, len(s.Timeline)
		out.File = f.out
		if out.File == "" {
			out.File = fmt.Sprintf("sim-fuzz-%d.yaml", s.Seed)
		}
		if err := writeScenario(out.File, s, r); err != nil {
			return err
		}
		r.Replay = "meshnode sim " + quoteArg(out.File)
	}
	out.WallS = time.Since(began).Seconds()
	return a.showFuzz(&out, r)
}

func (a *app) showFuzz(out *fuzzJSON, r *scenario.Result) error {
	if a.json() {
		if err := a.printJSON(out); err != nil {
			return err
		}
	} else {
		rate := out.VirtualS / max(out.WallS, 1e-9)
		if err := a.printLines(fmt.Sprintf("%s, %.0f s of virtual time in %.0f s (%.0f times real time)",
			plural(out.Runs, "scenario", "scenarios"), out.VirtualS, out.WallS, rate)); err != nil {
			return err
		}
		if r == nil {
			return a.printLines("all invariants held in all of them")
		}
		if err := a.printLines(fmt.Sprintf("seed %d broke %s; with %s left: %s", out.Seed, out.Broken[0].Invariant,
			plural(out.Faults, "fault", "faults"), out.File), ""); err != nil {
			return err
		}
		if err := report.Text(a.stdout, r, 100); err != nil {
			return err
		}
	}
	if r == nil {
		return nil
	}
	return &failure{code: rpc.Internal, logged: !a.json(), err: fmt.Errorf("seed %d broke %s", out.Seed, out.Broken[0].Invariant)}
}

// writeScenario writes a scenario, and what it breaks, to a file.
func writeScenario(path string, s *scenario.Scenario, r *scenario.Result) error {
	s.Name = "found-" + fmt.Sprint(s.Seed)
	s.Story = fmt.Sprintf("Found by meshnode sim fuzz with seed %d. It breaks %s: %s", s.Seed, r.Broken[0].Invariant, oneLine(r.Broken[0].Detail))
	var b bytes.Buffer
	if err := s.Write(&b); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// searched is how much was looked at.
type searched struct {
	runs    int
	virtual time.Duration
}

// search runs scenarios until one breaks something. Without such a one the result
// is nil.
func (a *app) search(ctx context.Context, pool *workers, f *fuzzFlags) (*scenario.Scenario, *scenario.Result, searched, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var (
		next   atomic.Int64
		mu     sync.Mutex
		done   searched
		found  *scenario.Scenario
		result *scenario.Result
		failed error
		all    sync.WaitGroup
	)
	for range f.workers {
		all.Go(func() {
			for ctx.Err() == nil {
				k := next.Add(1)
				if k > int64(f.runs) {
					return
				}
				s := scenario.Random(f.seed + uint64(k) - 1)
				s.Plant = f.plant
				r, err := pool.run(ctx, s)
				mu.Lock()
				switch {
				case ctx.Err() != nil:
				case err != nil:
					failed = fmt.Errorf("seed %d: %w", s.Seed, err)
					stop()
				default:
					done.runs++
					done.virtual += time.Duration(r.VirtualS * float64(time.Second))
					a.fuzzProgress(done.runs, f.runs)
					if len(r.Broken) > 0 && found == nil {
						found, result = s, r
						stop()
					}
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return found, result, done, failed
}

func (a *app) fuzzProgress(runs, of int) {
	if isTerminal(a.stderr) {
		fraction := float64(runs) / float64(of)
		fmt.Fprintf(a.stderr, "\r%-24s│ %d of %d scenarios\x1b[K", bar(fraction, barColumns), runs, of)
	}
}

// shrinkTime bounds how long a scenario is made smaller.
const shrinkTime = 3 * time.Minute

// shrink makes what broke smaller, and gives the result of its last run.
func (a *app) shrink(ctx context.Context, pool *workers, s *scenario.Scenario, r *scenario.Result) (*scenario.Scenario, *scenario.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, shrinkTime)
	defer cancel()
	invariant, last := r.Broken[0].Invariant, r
	run := func(ctx context.Context, c *scenario.Scenario) (*scenario.Result, error) {
		r, err := pool.run(ctx, c)
		if err == nil && r.Broke(invariant) {
			last = r
		}
		return r, err
	}
	small := scenario.Shrink(ctx, s, invariant, run, func(step string) {
		if isTerminal(a.stderr) {
			fmt.Fprintf(a.stderr, "\rmaking it smaller: %s\x1b[K", step)
		}
	})
	a.endProgress()
	return small, last, nil
}

// workers are processes that run scenarios.
//
// Invariant: a process is in idle, or used by exactly one run.
type workers struct {
	idle chan *worker
	all  []*worker
}

type worker struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	enc *json.Encoder
	dec *json.Decoder
}

func (a *app) startWorkers(n int) (*workers, error) {
	self, err := a.executable()
	if err != nil {
		return nil, err
	}
	p := &workers{idle: make(chan *worker, n)}
	for range n {
		w := &worker{cmd: exec.Command(self, "sim", "worker")}
		w.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
		w.cmd.Stderr = a.stderr
		if w.in, err = w.cmd.StdinPipe(); err != nil {
			return nil, err
		}
		out, err := w.cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := w.cmd.Start(); err != nil {
			p.close()
			return nil, err
		}
		w.enc, w.dec = json.NewEncoder(w.in), json.NewDecoder(out)
		p.all = append(p.all, w)
		p.idle <- w
	}
	return p, nil
}

// run has an idle process run a scenario.
func (p *workers) run(ctx context.Context, s *scenario.Scenario) (*scenario.Result, error) {
	var w *worker
	select {
	case w = <-p.idle:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { p.idle <- w }()
	var b bytes.Buffer
	if err := s.Write(&b); err != nil {
		return nil, err
	}
	if err := w.enc.Encode(b.String()); err != nil {
		return nil, fmt.Errorf("a worker is gone: %w", err)
	}
	var answer workAnswer
	if err := w.dec.Decode(&answer); err != nil {
		return nil, fmt.Errorf("a worker is gone: %w", err)
	}
	if answer.Error != "" {
		return nil, errors.New(answer.Error)
	}
	return answer.Result, nil
}

// close ends the processes.
func (p *workers) close() {
	for _, w := range p.all {
		_ = w.in.Close()
		_ = w.cmd.Process.Kill() // it has nothing to finish
		_ = w.cmd.Wait()
	}
}
