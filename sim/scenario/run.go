package scenario

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/router"
	"github.com/meshnode/meshnode/sim"
)

// Options are how a scenario is run.
type Options struct {
	// Trace takes the run's events as text. May be nil.
	Trace io.Writer
	// Logger takes the nodes' logs.
	Logger zerolog.Logger
	// Progress is told now and then, in real time, how far the run is. May be nil.
	Progress func(at, total time.Duration)
	// Stall is how long virtual time may stand still, in real time. 0: a minute.
	Stall time.Duration
	// Stalled is told, instead of a panic, when virtual time stands still.
	Stalled func(err error, stacks []byte)
	// StopAtBroken ends the run soon after the first invariant broke.
	StopAtBroken bool
}

// Run runs a scenario in virtual time. The error tells that it could not be run;
// what broke is in the result.
func Run(s *Scenario, opts Options) (*Result, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	own := *s
	if own.Seed == 0 {
		own.Seed = 1
	}
	wall := time.Now()
	var result *Result
	var failed error
	if err := opts.bubble(&own, func() { result, failed = inside(&own, &opts) }); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, failed
	}
	result.WallS = time.Since(wall).Seconds()
	result.Ratio = result.VirtualS / max(result.WallS, 1e-9)
	return result, nil
}

// run is a scenario under way.
type run struct {
	scenario *Scenario
	opts     *Options
	cluster  *sim.Cluster
	began    time.Time // of the run
	start    time.Time // of the script: when the nodes had joined
	truth    *truth
	check    *checker
	trace    *trace
	work     *workload
	tables   *tables
	series   *sampler
	stopped  context.CancelFunc // ends the script early

	mu     sync.Mutex
	faults []FaultRecord
	joinS  float64

	virtual time.Duration // how long the run took, but for the wait for leftovers

	acts sync.WaitGroup // ends of faults, starts of nodes
}

// inside is a run, in the bubble.
func inside(s *Scenario, opts *Options) (*Result, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r := &run{scenario: s, opts: opts, began: time.Now(), stopped: cancel}
	r.trace = newTrace(opts.Trace)
	r.check = newChecker(r.began, r.broke)
	r.truth = newTruth(r.began, s.badLinks())
	r.work = newWorkload(r)
	r.tables = newTables(r)
	cluster, err := sim.New(r.config())
	if err != nil {
		return nil, err
	}
	r.cluster = cluster
	r.series = newSampler(r)
	if err := r.play(ctx); err != nil {
		r.cluster.Close()
		return nil, err
	}
	return r.result(), nil
}

// config is the cluster that the scenario describes.
func (r *run) config() sim.Config {
	s := r.scenario
	bugs, _ := s.bugs() // Validate has seen them
	link := sim.DefaultLink()
	s.Link.apply(&link)
	return sim.Config{
		Nodes: s.Nodes + s.Workload.Clients, Seed: s.Seed, Profile: s.Profile, Link: link, Zones: s.Zones,
		Table: router.Params{Partitions: s.Partitions}, Stagger: s.Stagger.D(), Seeds: s.Seeds,
		Setup: r.work.serve, Logger: r.opts.Logger, Trace: r.trace.network,
		Node:   func(i int, cfg *node.Config) { cfg.Observer = r.isClient(i) },
		Inside: sim.Inside{Bugs: bugs, Published: r.tables.published},
	}
}

// isClient tells whether a node makes the calls and owns nothing.
func (r *run) isClient(i int) bool {
	return i >= r.scenario.Nodes && i < r.scenario.Nodes+r.scenario.Workload.Clients
}

// badLinks tells whether the network is such that peers may seem gone at any time.
func (s *Scenario) badLinks() bool {
	bad := func(l *Link) bool {
		return l.Loss > 0 || l.Bandwidth > 0 || l.Latency.Dist.Draw(1<<63) > 10*time.Millisecond
	}
	for i := range s.Links {
		if bad(&s.Links[i].Link) {
			return true
		}
	}
	return bad(&s.Link)
}

// joinTimeout bounds the time that the nodes take to join.
const joinTimeout = 10 * time.Minute

// play starts the nodes, plays the script, and checks what is left at the end.
func (r *run) play(ctx context.Context) error {
	r.truth.begin(nil, true, false, time.Now()) // joining
	for i := range r.scenario.Links {
		l := &r.scenario.Links[i]
		if err := r.setLinks(l.From, l.To, l.OneWay, &l.Link); err != nil {
			return err
		}
	}
	r.series.start()
	joining, done := context.WithTimeout(ctx, joinTimeout)
	defer done()
	if err := r.cluster.Start(joining); err != nil {
		return err
	}
	if _, err := r.cluster.WaitConverged(joining); err != nil && ctx.Err() == nil {
		r.check.broke(InvAgreement, "the nodes did not agree after joining: %v", err)
	}
	r.start = time.Now()
	r.joinS = r.now().Seconds()
	r.truth.end(nil, false, r.start)
	r.trace.note("joined", "", "")

	calling, hangUp := context.WithCancel(ctx)
	defer hangUp()
	var callers sync.WaitGroup
	callers.Go(func() { r.work.dispatch(calling) })
	r.playScript(ctx)
	_ = sleep(ctx, time.Until(r.start.Add(r.scenario.Duration.D())))
	r.acts.Wait()
	r.settle(ctx)
	hangUp()
	callers.Wait()
	if left := r.work.await(); left > 0 {
		r.check.broke(InvDeadline, "%d calls had not ended a second after their deadline", left)
	}
	r.series.stop()
	r.virtual = r.now()
	r.atTheEnd()
	return nil
}

// broke is told the first time that each invariant breaks.
func (r *run) broke(b Broken) {
	r.trace.note("broken", b.Invariant, b.Detail)
	if r.opts.StopAtBroken && r.stopped != nil {
		r.stopped()
	}
}

// now is the time since the start of the run.
func (r *run) now() time.Duration { return time.Since(r.began) }

// caller picks a node that makes the next call; nil if none can.
func (r *run) caller(rnd *rand.Rand) (int, *node.Node) {
	first, count := 0, r.cluster.Len()
	if c := r.scenario.Workload.Clients; c > 0 {
		first, count = r.scenario.Nodes, c
	}
	offset := rnd.IntN(count)
	for k := range count {
		i := first + (offset+k)%count
		m := r.cluster.Member(i)
		n := r.cluster.Node(i)
		if ready, _ := m.Ready(); ready && n != nil && !m.Paused() && !r.truth.stopped(i, 0, time.Now()) {
			return i, n
		}
	}
	return -1, nil
}

// atTheEnd looks at what the run leaves behind.
func (r *run) atTheEnd() {
	r.series.resources()
	r.tables.rebuild()
	r.cluster.Close()
	grace := leftoverGrace + 2*r.scenario.Profile.DetectionTime(r.cluster.Len())
	time.Sleep(grace)
	left := r.cluster.Leftovers(grace)
	r.check.check(InvLeftover, len(left) == 0, "%d processes: %v", len(left), firstOf(left))
}

// leftoverGrace is how long goroutines may outlive their process: memberlist's
// end a few probe intervals later. Timers of its suspicions, which are as long as a
// detection, hold the process's memory until they fire.
const leftoverGrace = 3 * time.Minute

func firstOf(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// versions describe the program.
func versions() string {
	return fmt.Sprintf("%s %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
