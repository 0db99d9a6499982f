package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"time"

	"github.com/spf13/pflag"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	cancel()
	if errors.Is(err, pflag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// quickBudget leaves room, within 50 s, for the compiler's work to be cached,
// the last cell, and callers that come back late.
const quickBudget = 40 * time.Second

// options are the flags.
type options struct {
	sizes, callers []int
	peers          []string
	rounds         int
	window         time.Duration
	messages       int
	json           bool
	quick          bool
	streams        bool
	mixed          bool
	tables         bool
	overload       bool
	storm          bool
	scaling        bool
	redo           bool
	dir            string
	svg            string
}

func parse(args []string, usage io.Writer) (options, error) {
	var o options
	f := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	f.SetOutput(usage)
	f.SortFlags = false
	f.IntSliceVar(&o.sizes, "sizes", []int{64, 1 << 10, 64 << 10}, "sizes of the body, in bytes; with --scaling: numbers of nodes")
	f.IntSliceVar(&o.callers, "callers", []int{1, 64, 512}, "numbers of concurrent callers")
	f.StringSliceVar(&o.peers, "peers", nil, "peers to measure (all); the ratio needs limit among them")
	f.IntVar(&o.rounds, "rounds", 5, "rounds over everything; medians over the rounds are printed")
	f.DurationVar(&o.window, "time", time.Second, "time for each cell of a round, after a fifth of it to warm up")
	f.BoolVar(&o.quick, "quick", false, "3 rounds within 50 s in all: --time is what is left for each cell")
	f.BoolVar(&o.streams, "streams", false, "compare streams instead of calls")
	f.BoolVar(&o.mixed, "mixed", false, "measure small calls beside replies of 100 MiB on the same connection, instead")
	f.BoolVar(&o.tables, "tables", false, "compare how ownership tables and rings place keys, instead")
	f.BoolVar(&o.overload, "overload", false, "put three times what it can do on a service, for 30 s (--quick: 5 s), with and without adaptive admission, instead")
	f.BoolVar(&o.storm, "storm", false, "have none, half or all of the replies fail for 10 s (--quick: 3 s), and count what retries add, instead")
	f.BoolVar(&o.scaling, "scaling", false, "simulate meshes of --sizes nodes (default 10,30,100,200,300; --quick: fewer), fit how figures grow, and extrapolate, instead")
	f.BoolVar(&o.redo, "redo", false, "compare logs on a disk, with --callers writers (default 1,16,256) and a million entries to recover, instead")
	f.StringVar(&o.dir, "dir", "", "with --redo: a `folder` on the disk to measure (default a temporary one)")
	f.IntVar(&o.messages, "messages", 1_000_000, "with --streams: messages for each stream")
	f.BoolVar(&o.json, "json", false, "print an array of rows")
	f.StringVar(&o.svg, "svg", "", "also write a chart to this `file`: calls/s at 64 B with several callers, or of --tables, --overload or --scaling")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if o.quick && !f.Changed("rounds") {
		o.rounds = 3
	}
	if o.quick && !f.Changed("messages") {
		o.messages = 200_000
	}
	if o.scaling && !f.Changed("sizes") {
		o.sizes = scalingSizes(o.quick)
	}
	if o.redo && !f.Changed("callers") {
		o.callers = []int{1, 16, 256}
	}
	return o, o.check()
}

func (o options) check() error {
	if o.scaling {
		return o.checkScaling()
	}
	for _, n := range o.sizes {
		if n < 2 || n > 1<<20 {
			return fmt.Errorf("--sizes: %d is not within 2 and %d bytes", n, 1<<20)
		}
	}
	for _, n := range o.callers {
		if n < 1 || n > 1<<12 {
			return fmt.Errorf("--callers: %d is not within 1 and %d", n, 1<<12)
		}
	}
	switch {
	case o.rounds < 1:
		return errors.New("--rounds: at least 1")
	case o.window < leastWindow:
		return fmt.Errorf("--time: at least %v", leastWindow)
	case o.messages < 1:
		return errors.New("--messages: at least 1")
	case (o.streams || o.mixed || o.storm || o.redo) && o.svg != "":
		return errors.New("--svg: only calls, tables and overload are drawn")
	case o.streams && o.mixed:
		return errors.New("--streams and --mixed: one of them")
	}
	return nil
}

// run is the whole program but for the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.tables {
		return runTables(ctx, o, stdout, stderr)
	}
	if o.overload {
		return runOverload(ctx, o, stdout, stderr)
	}
	if o.storm {
		return runStorm(ctx, o, stdout, stderr)
	}
	if o.scaling {
		return runScaling(ctx, o, stdout, stderr)
	}
	if o.redo {
		return runRedo(ctx, o, stdout, stderr)
	}
	if o.mixed {
		return runMixed(ctx, o, stdout, stderr)
	}
	if o.streams {
		return runStreams(ctx, o, stdout, stderr)
	}
	peers, err := pick(peerTypes(), o.peers, func(p peerType) string { return p.name })
	if err != nil {
		return err
	}
	p := plan{
		peers: peers, sizes: o.sizes, callers: o.callers, rounds: o.rounds,
		timing: timing{warm: o.window / 5, window: o.window},
	}
	if o.quick {
		p.budget = quickBudget
	}
	rows, failed := p.run(ctx, stderr)
	if len(rows) == 0 {
		return failed
	}
	return errors.Join(failed, report(o, rows, stdout))
}

// report writes the rows as the flags ask for.
func report(o options, rows []row, stdout io.Writer) error {
	if o.svg != "" {
		chart, err := drawChart(rows)
		if err == nil {
			err = os.WriteFile(o.svg, chart, 0o644)
		}
		if err != nil {
			return err
		}
	}
	if o.json {
		return writeJSON(stdout, rows)
	}
	_, _ = fmt.Fprintf(stdout, "%s, %s/%s, GOMAXPROCS=%d; medians of %s\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH,
		runtime.GOMAXPROCS(0), roundsText(o.rounds))
	return writeTables(stdout, rows)
}

func runStreams(ctx context.Context, o options, stdout, stderr io.Writer) error {
	peers, err := pick(streamTypes(), o.peers, func(p streamType) string { return p.name })
	if err != nil {
		return err
	}
	rows, err := streamPlan{peers: peers, messages: o.messages, size: chartSize, rounds: o.rounds}.run(ctx, stderr)
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(stdout, rows)
	}
	return writeStreamTable(stdout, rows)
}

func roundsText(n int) string {
	if n == 1 {
		return "1 round"
	}
	return fmt.Sprintf("%d rounds", n)
}
