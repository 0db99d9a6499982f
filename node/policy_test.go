package node

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshnode/meshnode/router/health"
	"github.com/meshnode/meshnode/rpc"
)

// failing gives an action that fails so often, and then answers.
func failing(times int64, err *rpc.Error) (action, *atomic.Int64) {
	var runs atomic.Int64
	return func(_ context.Context, n *Node, _ *job) (*report, error) {
		if runs.Add(1) <= times {
			return nil, err
		}
		return &report{Node: n.Name()}, nil
	}, &runs
}

// Answers that say that another try may help are tried again, as often as the
// policy says; others are not.
func TestRetriesOfAnswers(t *testing.T) {
	t.Parallel()
	down := rpc.Errorf(rpc.Unavailable, "down")
	for what, c := range map[string]struct {
		method rpc.Method[job, report]
		fails  int64
		err    *rpc.Error
		runs   int64
		code   rpc.Code
	}{
		"unavailable":                {safe, 2, down, 3, rpc.OK},
		"unavailable for long":       {safe, 100, down, 3, rpc.Unavailable},
		"not idempotent":             {work, 2, down, 1, rpc.Unavailable},
		"never again":                {safe, 2, down.After(rpc.NeverRetry), 1, rpc.Unavailable},
		"a quota":                    {safe, 2, rpc.Errorf(rpc.ResourceExhausted, "quota"), 1, rpc.ResourceExhausted},
		"a quota that will be there": {safe, 2, rpc.Errorf(rpc.ResourceExhausted, "quota").After(time.Millisecond), 3, rpc.OK},
		"a failure of its own":       {safe, 2, rpc.Errorf(rpc.Internal, "bug"), 1, rpc.Internal},
		"longer than the deadline":   {safe, 2, down.After(time.Hour), 1, rpc.Unavailable},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			act, runs := failing(c.fails, c.err)
			l.do["fail"] = act
			a := l.cluster("a", "b")[0]
			for _, to := range []rpc.CallOption{rpc.Peer("b"), rpc.Key(keysOf(a, "b", 1)[0]), rpc.Peer("a")} {
				runs.Store(0)
				_, err := c.method.Call(t.Context(), a, &job{Do: "fail"}, to)
				if rpc.CodeOf(err) != c.code || runs.Load() != c.runs {
					t.Errorf("%d runs, %v; want %d, %v", runs.Load(), err, c.runs, c.code)
				}
			}
		})
	}
}

// What the answer asks for is waited for.
func TestPushback(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.do["fail"], _ = failing(1, rpc.Errorf(rpc.Unavailable, "down").After(120*time.Millisecond))
	a := l.cluster("a", "b")[0]
	start := time.Now()
	if _, err := safe.Call(t.Context(), a, &job{Do: "fail"}, rpc.Peer("b")); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 120*time.Millisecond {
		t.Errorf("it was tried again after %v", took)
	}
}

// A call that serves a retry is not retried itself.
func TestChainStop(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	fail, runs := failing(1<<40, rpc.Errorf(rpc.Unavailable, "down"))
	l.do["fail"] = fail
	l.do["on"] = func(ctx context.Context, n *Node, req *job) (*report, error) {
		return safe.Call(ctx, n, &job{Do: "fail"}, rpc.Peer("c"))
	}
	a := l.cluster("a", "b", "c")[0]
	_, err := safe.Call(t.Context(), a, &job{Do: "on"}, rpc.Peer("b"))
	wantCode(t, err, rpc.Unavailable)
	// a's first attempt is served by three calls of b, its two retries by one each;
	// without the stop they would be nine.
	if got := runs.Load(); got != 5 {
		t.Errorf("c was called %d times, want 5", got)
	}
}

// Calls that a handler makes have the priority of the one that it serves.
func TestPriorityIsInherited(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.do["tell"] = func(ctx context.Context, _ *Node, _ *job) (*report, error) {
		info, _ := rpc.InfoFrom(ctx)
		return &report{Data: []byte(info.Priority.String())}, nil
	}
	l.do["on"] = func(ctx context.Context, n *Node, req *job) (*report, error) {
		var opts []rpc.CallOption
		if len(req.Data) > 0 {
			opts = append(opts, rpc.AtPriority(rpc.Sheddable))
		}
		return work.Call(ctx, n, &job{Do: "tell"}, append(opts, rpc.Peer("a"))...)
	}
	a := l.cluster("a", "b")[0]
	for _, c := range []struct {
		own  string
		give []rpc.CallOption
		want string
	}{
		{"", nil, "default"},
		{"", []rpc.CallOption{rpc.AtPriority(rpc.Critical)}, "critical"},
		{"own", []rpc.CallOption{rpc.AtPriority(rpc.Critical)}, "sheddable"},
	} {
		got, err := work.Call(t.Context(), a, &job{Do: "on", Data: []byte(c.own)}, append(c.give, rpc.Peer("b"))...)
		if err != nil || string(got.Data) != c.want {
			t.Errorf("%+v: %s, %v", c, got.Data, err)
		}
	}
}

// A peer that keeps failing is left out of calls to any for a while.
func TestEjection(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.edit = func(cfg *Config) { cfg.Outliers = health.Config{Failures: 3, Base: time.Hour, Most: time.Hour} }
	var bad atomic.Int64
	l.do["bad on b"] = func(_ context.Context, n *Node, _ *job) (*report, error) {
		if n.Name() == "b" {
			bad.Add(1)
			return nil, rpc.Errorf(rpc.Unavailable, "not here")
		}
		return &report{Node: n.Name()}, nil
	}
	a := l.cluster("a", "b", "c", "d")[0]
	for i := range 60 {
		if _, err := safe.Call(t.Context(), a, &job{Do: "bad on b"}, rpc.Any("")); err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	if got := bad.Load(); got != 3 || a.Stats()["ejections"] != 1 {
		t.Errorf("the bad one was called %d times, and %d were ejected", got, a.Stats()["ejections"])
	}
}

// HedgeP95 follows what calls take.
func TestHedgeP95(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	hedged := rpc.NewMethod[job, report]("lab.Safe", rpc.Idempotent(), rpc.Hedge(rpc.HedgeP95))
	release := make(chan struct{})
	var slow atomic.Bool
	l.do["maybe slow"] = func(ctx context.Context, n *Node, _ *job) (*report, error) {
		if n.Name() == "b" && slow.Load() {
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		return &report{Node: n.Name()}, nil
	}
	a := l.cluster("a", "b", "c")[0]
	for range 300 {
		if _, err := hedged.Call(t.Context(), a, &job{Do: "maybe slow"}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the p95 is known", func() error {
		if got := a.methods.of("lab.Safe").p95.Value(a.since()); got == 0 || got > firstHedge/2 {
			return fmt.Errorf("it is %v", got)
		}
		return nil
	})
	slow.Store(true)
	for range 6 {
		start := time.Now()
		if got, err := hedged.Call(t.Context(), a, &job{Do: "maybe slow"}, rpc.Timeout(patience)); err != nil || got.Node == "b" {
			t.Errorf("after %v: %+v, %v", time.Since(start), got, err)
		}
	}
	close(release)
}

// The metrics tell of calls by method, code, peer and destination.
func TestWriteMetrics(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.do["fail"] = func(context.Context, *Node, *job) (*report, error) { return nil, rpc.NotFound }
	nodes := l.cluster("a", "b")
	a := nodes[0]
	for range 3 {
		if _, err := work.Call(t.Context(), a, &job{}, rpc.Key(keysOf(a, "b", 1)[0])); err != nil {
			t.Fatal(err)
		}
	}
	_, err := work.Call(t.Context(), a, &job{Do: "fail"}, rpc.Peer("b"))
	wantCode(t, err, rpc.NotFound)
	texts := make([]string, 2)
	for i, n := range nodes {
		var out bytes.Buffer
		if err := n.WriteMetrics(&out); err != nil {
			t.Fatal(err)
		}
		texts[i] = out.String()
	}
	for i, lines := range [][]string{{
		`meshnode_calls_total{method="lab.Work",code="OK",destination="Key"} 3`,
		`meshnode_calls_total{method="lab.Work",code="NotFound",destination="Peer"} 1`,
		`meshnode_call_seconds_count{method="lab.Work"} 4`,
		`meshnode_attempts_total{peer="b",code="NotFound"} 1`,
		"meshnode_owners 2", "meshnode_ready 1", "meshnode_ejections_total 0",
	}, {
		`meshnode_served_total{method="lab.Work",code="OK"} 3`,
		`meshnode_served_total{method="lab.Work",code="NotFound"} 1`,
		`meshnode_handler_seconds_count{method="lab.Work"} 4`,
	}} {
		for _, line := range lines {
			if !strings.Contains(texts[i], line+"\n") {
				t.Errorf("node %d has no line %s", i, line)
			}
		}
	}
}

// Names from outside do not fill the memory.
func TestMethodsAreBounded(t *testing.T) {
	var m methods
	m.init()
	for i := range 3 * maxMethods {
		m.of(fmt.Sprint("lab.Method", i))
	}
	if got := len(*m.all.Load()); got > maxMethods+1 {
		t.Errorf("%d methods have counters of their own", got)
	}
	if m.of("lab.Method0").name != "lab.Method0" || m.of("lab.Another").name != otherMethods {
		t.Error("the first is to have its own counters, the last those of all others")
	}
}
