package node

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/internal/budget"
	"github.com/meshnode/meshnode/rpc"
)

// overLab has nodes that serve at most so many calls at a time; the action
// "wait" holds one until release is closed.
func overLab(t *testing.T, most int) (l *lab, nodes []*Node, began chan string, release chan struct{}) {
	t.Helper()
	l = newLab(t)
	l.edit = func(cfg *Config) { cfg.Admission = Admission{Adaptive: true, Min: most, Initial: most, Max: most} }
	began, release = make(chan string, 100), make(chan struct{})
	l.do["wait"] = func(ctx context.Context, n *Node, _ *job) (*report, error) {
		began <- n.Name()
		select {
		case <-release:
		case <-ctx.Done():
		}
		return &report{Node: n.Name()}, nil
	}
	return l, l.cluster("a", "b"), began, release
}

// A full node refuses at once, says when to come again, and has executed nothing;
// critical calls come in longest.
func TestAdmissionRefuses(t *testing.T) {
	t.Parallel()
	l, nodes, began, release := overLab(t, 4)
	once := rpc.WithPolicy(rpc.CallPolicy{Retries: rpc.NoRetries})
	hold := rpc.NewMethod[job, report]("lab.Work", once)
	var wg sync.WaitGroup
	start := func(p rpc.Priority) {
		wg.Go(func() {
			if _, err := hold.Call(t.Context(), nodes[0], &job{Do: "wait"}, rpc.Peer("b"), rpc.AtPriority(p)); err != nil {
				t.Error(err)
			}
		})
		await(t, "a handler", began)
	}
	refused := func(p rpc.Priority) {
		t.Helper()
		for _, from := range nodes { // b itself is one of its callers
			_, err := hold.Call(t.Context(), from, &job{Key: "refused"}, rpc.Peer("b"), rpc.AtPriority(p))
			if e := wantCode(t, err, rpc.ResourceExhausted); e.RetryAfter <= 0 {
				t.Errorf("from %s, %v: no word when to try again: %v", from.Name(), p, e)
			}
		}
	}
	start(rpc.Critical)
	start(rpc.Critical)
	start(rpc.Critical)
	refused(rpc.Sheddable)
	start(rpc.Critical)
	refused(rpc.PriorityDefault)
	refused(rpc.Critical)
	if ran := l.executed("refused"); len(ran) != 0 {
		t.Errorf("executed on %v", ran)
	}
	var metrics bytes.Buffer
	if err := nodes[1].WriteMetrics(&metrics); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`meshnode_admission_limit{service="lab"} 4`, `meshnode_admission_inflight{service="lab"} 4`,
		`meshnode_admission_refused_total{service="lab",priority="sheddable"} 2`,
	} {
		if !strings.Contains(metrics.String(), line+"\n") {
			t.Errorf("no %s in the metrics", line)
		}
	}
	close(release)
	wg.Wait()
	if _, err := hold.Call(t.Context(), nodes[0], &job{}, rpc.Peer("b")); err != nil {
		t.Error(err)
	}
}

// A call that was refused is sent again when the node says so, whatever its
// method, as nothing was executed.
func TestAdmissionIsRetried(t *testing.T) {
	t.Parallel()
	l, nodes, began, release := overLab(t, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = work.Call(t.Context(), nodes[0], &job{Do: "wait"}, rpc.Peer("b"), rpc.Timeout(patience))
	})
	await(t, "a handler", began)
	patient := rpc.NewMethod[job, report]("lab.Work", rpc.WithPolicy(rpc.CallPolicy{Retries: 50}))
	answered := make(chan error, 1)
	wg.Go(func() {
		_, err := patient.Call(t.Context(), nodes[0], &job{Key: "again"}, rpc.Peer("b"), rpc.Timeout(patience))
		answered <- err
	})
	eventually(t, "a retry", func() error {
		if nodes[0].Stats()["retries"] == 0 {
			return context.DeadlineExceeded
		}
		return nil
	})
	close(release)
	if err := await(t, "an answer", answered); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if ran := l.executed("again"); len(ran) != 1 {
		t.Errorf("executed on %v", ran)
	}
}

// The budget bounds what retries add when half of all replies fail.
func TestRetryStorm(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var mu sync.Mutex
	arrived := 0
	l.do["half"] = func(context.Context, *Node, *job) (*report, error) {
		mu.Lock()
		defer mu.Unlock()
		if arrived++; arrived%2 == 0 {
			return nil, rpc.Errorf(rpc.Unavailable, "out of order").After(time.Millisecond)
		}
		return nil, nil
	}
	a := l.cluster("a", "b")[0]
	const calls = 4000
	var wg sync.WaitGroup
	began := time.Now()
	for range 8 {
		wg.Go(func() {
			for range calls / 8 {
				_, _ = safe.Call(t.Context(), a, &job{Do: "half"}, rpc.Peer("b"))
			}
		})
	}
	wg.Wait()
	added := float64(arrived) / calls
	t.Logf("%d calls were %d at the server: %.2f times as many", calls, arrived, added)
	// What time has brought to the budget counts too: on a busy machine it is more than calls did.
	most := calls*(1+budget.DefaultRatio) + budget.DefaultRate*(time.Since(began)+budget.DefaultSaved).Seconds()
	if float64(arrived) > most+0.05*calls || added < 1.1 {
		t.Errorf("%d calls were %d at the server; want at most %.0f", calls, arrived, most)
	}
}
