package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

// A storm of retries: a part of all replies fails, and callers try again.
const (
	stormRate  = 2000 // calls a second
	stormTries = 3    // of each call, at most
)

// stormCase is one way to try again, and what part of the replies fails. What a
// budget has kept from times without failures is spent at first, so storms after
// such a time are measured by themselves.
type stormCase struct {
	Name    string  `json:"name"`
	Failing float64 `json:"failing"`
	After   bool    `json:"after_health"` // as long as the storm, no reply fails before it
	bare    bool    // without a budget
}

// stormCases are what runStorm measures.
func stormCases() []stormCase {
	const budget, bare = "retries with a budget (default)", "the same without a budget"
	return []stormCase{
		{Name: budget, Failing: 0.5},
		{Name: budget, Failing: 0.5, After: true},
		{Name: budget, Failing: 1, After: true},
		{Name: bare, Failing: 0.5, bare: true},
		{Name: bare, Failing: 1, bare: true},
	}
}

// expected is the load of so many tries that nothing bounds.
func (c stormCase) expected() float64 { return 1 + c.Failing + c.Failing*c.Failing }

// stormRun is what came of a case, during the storm.
type stormRun struct {
	stormCase
	Calls    int     `json:"calls"`
	Arrived  int     `json:"arrived"`  // at the server
	Load     float64 `json:"load"`     // arrived over calls
	Worst    float64 `json:"worst"`    // load of the worst second
	Answered float64 `json:"answered"` // part of the calls that succeeded in the end
}

// stormMethod is called with the default policy, or in a loop that tries as often
// as that does, around calls that are not sent again.
var stormMethod = rpc.NewMethod[[]byte, []byte]("storm.Work", rpc.Idempotent())

func runStorm(ctx context.Context, o options, stdout, stderr io.Writer) error {
	length := 10 * time.Second
	if o.quick {
		length = 3 * time.Second
	}
	var runs []stormRun
	for _, c := range stormCases() {
		fmt.Fprintf(stderr, "%s, %.0f %% fail, after health: %v\n", c.Name, 100*c.Failing, c.After)
		r, err := storm(ctx, c, length)
		if err != nil {
			return err
		}
		runs = append(runs, r)
	}
	if o.json {
		return json.NewEncoder(stdout).Encode(runs)
	}
	lines := [][]string{{"", "replies that fail", "before", "calls", "at the server", "load", "worst second", "unbounded", "answered"}}
	for _, r := range runs {
		before := "just started"
		if r.After {
			before = "no failures"
		}
		lines = append(lines, []string{
			r.Name, figure(100*r.Failing, 0) + " %", before, grouped(float64(r.Calls)), grouped(float64(r.Arrived)),
			figure(r.Load, 3), figure(r.Worst, 3), figure(r.expected(), 3), figure(100*r.Answered, 1) + " %",
		})
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s calls/s of an idempotent method for %v, each tried up to %d times\n\n", grouped(stormRate), length, stormTries)
	align(&b, lines)
	_, err := stdout.Write(b.Bytes())
	return err
}

// storm calls at a fixed rate and counts what reaches the server.
func storm(ctx context.Context, c stormCase, length time.Duration) (stormRun, error) {
	r := stormRun{stormCase: c}
	pair, err := startMeshWith(ctx, func(cfg *node.Config) error {
		if c.bare {
			cfg.Calls.Retries = rpc.NoRetries
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	defer pair.Close()
	s := &stormServer{random: rand.New(rand.NewPCG(17, 19))}
	stormMethod.Handle(pair.z, s.serve)
	tries := 1
	if c.bare {
		tries = stormTries
	}
	if c.After {
		if _, err := stormCalls(ctx, pair.a, tries, length, nil); err != nil {
			return r, err
		}
	}
	before := s.begin(c.Failing)
	answered, err := stormCalls(ctx, pair.a, tries, length, func(calls, second int) {
		arrived := s.count() - before
		r.Worst = max(r.Worst, float64(arrived-r.Arrived)/float64(second))
		r.Calls, r.Arrived = calls, arrived
	})
	r.Arrived = s.count() - before // those that came last as well
	if r.Calls > 0 {
		r.Load = float64(r.Arrived) / float64(r.Calls)
		r.Answered = float64(answered) / float64(r.Calls)
	}
	return r, err
}

// stormCalls makes calls at a fixed rate, and waits for all. After each second,
// and when the last call is made, it tells how many calls there were, and how many
// since it last told.
func stormCalls(ctx context.Context, n *node.Node, tries int, length time.Duration, tell func(calls, second int)) (answered int64, err error) {
	var good atomic.Int64
	var wg sync.WaitGroup
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	calls, told, next := 0, 0, time.Second
	began := time.Now()
	for passed := time.Duration(0); ctx.Err() == nil && passed < length; passed = time.Since(began) {
		<-tick.C
		for due := int(time.Since(began).Seconds() * stormRate); calls < due; calls++ {
			wg.Go(func() {
				for range tries {
					if _, err := stormMethod.Call(ctx, n, nil, rpc.Peer("z")); err == nil {
						good.Add(1)
						return
					}
				}
			})
		}
		if tell != nil && passed >= next && calls > told {
			tell(calls, calls-told)
			told, next = calls, next+time.Second
		}
	}
	if tell != nil && calls > told {
		tell(calls, max(calls-told, stormRate)) // less than a second is no worst one
	}
	wg.Wait()
	return good.Load(), ctx.Err()
}

// stormServer fails a part of its calls, picked at random.
type stormServer struct {
	mu      sync.Mutex
	failing float64
	random  *rand.Rand
	arrived int
}

func (s *stormServer) serve(context.Context, *[]byte) (*[]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived++
	if s.random.Float64() < s.failing {
		return nil, rpc.Errorf(rpc.Unavailable, "out of order")
	}
	return nil, nil
}

// begin has a part of the calls fail from now on, and gives how many came before.
func (s *stormServer) begin(failing float64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = failing
	return s.arrived
}

func (s *stormServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.arrived
}
