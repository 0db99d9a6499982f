package scenario

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

// The methods of the workload. Both do the same; they differ in what may be done
// with a call whose outcome is unknown.
var (
	read  = rpc.NewMethod[workRequest, workReply]("sim.Read", rpc.Idempotent())
	write = rpc.NewMethod[workRequest, workReply]("sim.Write")
)

type (
	workRequest struct {
		ID  uint64
		Key string
	}
	workReply struct{ Node string }
)

// executed is one execution of a call.
type executed struct {
	node string
	at   time.Duration
}

// workload makes the calls of a run and remembers what came of them.
//
// Invariant: every call that began is counted in underWay until it is in ended.
type workload struct {
	run  *run
	spec Workload
	rnd  *rand.Rand // of the dispatcher alone
	zipf *rand.Zipf

	mu       sync.Mutex
	writes   map[uint64]executed // by call, the first execution
	byCode   map[string]int
	millis   []float32 // of calls that were answered
	interval tally     // since the last sample
	total    tally
	underWay int
	standIns uint64

	calls sync.WaitGroup
}

// tally counts calls over some time.
type tally struct {
	ended, failed int
	millis        []float32
}

func newWorkload(r *run) *workload {
	w := &workload{
		run: r, spec: r.scenario.Workload, rnd: rand.New(rand.NewPCG(r.scenario.Seed, 0x70616c6c)),
		writes: map[uint64]executed{}, byCode: map[string]int{},
	}
	if w.spec.Timeout == 0 {
		w.spec.Timeout = Duration(defaultTimeout)
	}
	if w.spec.Keys.Count == 0 {
		w.spec.Keys.Count = defaultKeys
	}
	if w.spec.Keys.Skew == 0 {
		w.spec.Keys.Skew = defaultSkew
	}
	if w.spec.Keys.Distribution == "zipf" {
		w.zipf = rand.NewZipf(w.rnd, w.spec.Keys.Skew, 1, uint64(w.spec.Keys.Count-1))
	}
	return w
}

// serve registers the methods on a node.
func (w *workload) serve(i int, n *node.Node) {
	handle := func(writes bool) func(context.Context, *workRequest) (*workReply, error) {
		return func(ctx context.Context, req *workRequest) (*workReply, error) {
			w.execute(ctx, i, n, req, writes)
			if !w.spec.Work.IsZero() {
				if err := sleep(ctx, w.spec.Work.Draw(mix(w.run.scenario.Seed^req.ID))); err != nil {
					return nil, err
				}
			}
			return &workReply{Node: n.Name()}, nil
		}
	}
	read.Handle(n, handle(false))
	write.Handle(n, handle(true))
}

// execute checks an execution.
func (w *workload) execute(ctx context.Context, i int, n *node.Node, req *workRequest, writes bool) {
	info, _ := rpc.InfoFrom(ctx)
	w.run.checkOwner(i, n, info, req.Key)
	if info.Failover {
		w.mu.Lock()
		w.standIns++
		w.mu.Unlock()
	}
	if !writes {
		return
	}
	w.mu.Lock()
	first, twice := w.writes[req.ID]
	if !twice {
		w.writes[req.ID] = executed{n.Name(), w.run.now()}
	}
	w.mu.Unlock()
	w.run.check.check(InvOnce, !twice, "write %d of key %q ran on %s at %v, and on %s again (attempt %d)",
		req.ID, req.Key, first.node, first.at, n.Name(), info.Attempt)
}

// dispatch makes calls at the rate of the scenario until ctx ends.
func (w *workload) dispatch(ctx context.Context) {
	if w.spec.Rate <= 0 {
		return
	}
	for id := uint64(1); ; id++ {
		// Exponential gaps: calls come as from many independent callers.
		gap := time.Duration(w.rnd.ExpFloat64() / w.spec.Rate * float64(time.Second))
		if sleep(ctx, gap) != nil {
			return
		}
		from, n := w.run.caller(w.rnd)
		key := fmt.Sprintf("key-%d", w.key())
		writes := w.rnd.Float64() < w.spec.Writes
		if n == nil {
			continue
		}
		w.mu.Lock()
		w.underWay++
		w.mu.Unlock()
		w.calls.Go(func() { w.call(from, n, &workRequest{ID: id, Key: key}, writes) })
	}
}

func (w *workload) key() uint64 {
	if w.zipf != nil {
		return w.zipf.Uint64()
	}
	return w.rnd.Uint64N(uint64(w.spec.Keys.Count))
}

// call makes one call from a node.
func (w *workload) call(from int, n *node.Node, req *workRequest, writes bool) {
	method := read
	if writes {
		method = write
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), w.spec.Timeout.D())
	defer cancel()
	_, err := method.Call(ctx, n, req, rpc.Key(req.Key))
	took := time.Since(begun)
	code := "OK"
	if err != nil {
		code = rpc.AsError(err).Code.String()
	}
	if w.run.truth.stopped(from, took+time.Second, time.Now()) {
		w.lost() // a process that was killed or frozen is no judge of time and outcome
		return
	}
	w.run.check.check(InvDeadline, took <= w.spec.Timeout.D()+deadlineSlack,
		"a call from %s for key %q took %v of %v and ended with %s", n.Name(), req.Key, took, w.spec.Timeout, code)
	w.ended(code, took, err != nil)
}

// deadlineSlack is what a call may take beyond its deadline.
const deadlineSlack = 5 * time.Millisecond

func (w *workload) ended(code string, took time.Duration, failed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.underWay--
	w.byCode[code]++
	millis := float32(took.Seconds() * 1000)
	w.total.ended++
	w.interval.ended++
	if failed {
		w.total.failed++
		w.interval.failed++
		return
	}
	w.millis = append(w.millis, millis)
	w.interval.millis = append(w.interval.millis, millis)
}

// lost counts a call whose caller is gone.
func (w *workload) lost() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.underWay--
	w.byCode[callerGone]++
}

// callerGone stands for the code of calls whose caller was killed or frozen.
const callerGone = "CallerGone"

// take gives what ended since the last time, and begins anew.
func (w *workload) take() tally {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.interval
	w.interval = tally{}
	return t
}

// await waits for the calls that are under way, and tells how many did not end.
func (w *workload) await() int {
	ended := make(chan struct{})
	go func() {
		w.calls.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return 0
	case <-time.After(w.spec.Timeout.D() + time.Second):
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.underWay
}

// sleep waits for d, or gives ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// mix scatters the bits of a number.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
