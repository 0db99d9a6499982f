package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

var (
	// wrongWork is work as a caller with another request has it.
	wrongWork = rpc.NewMethod[[]string, report](work.Name())
	nowhere   = rpc.NewMethod[job, report]("lab.Nowhere")
	noStream  = rpc.NewStream[countRequest, countReply]("lab.NoStream")
)

// executedLab is a cluster of "a", whose dials can be made to fail, and "b".
type executedLab struct {
	*lab
	a, b  *Node
	wires *wires
	gone  chan string // what a handler that waits has begun
}

func newExecutedLab(t *testing.T) *executedLab {
	l := &executedLab{lab: newLab(t), wires: newWires(), gone: make(chan string, 100)}
	l.edit = func(cfg *Config) {
		if cfg.Name == "a" {
			cfg.Network = l.wires
		}
		cfg.Limits.Transport = transport.Limits{MaxBody: 64 << 10, MaxServed: 2}
	}
	l.do["fail"] = func(_ context.Context, _ *Node, req *job) (*report, error) {
		for _, code := range rpc.Codes() {
			if code.String() == string(req.Data) {
				return nil, rpc.Errorf(code, "by the handler").MarkNotExecuted(true)
			}
		}
		return nil, errors.New(string(req.Data))
	}
	l.do["nested"] = func(ctx context.Context, n *Node, _ *job) (*report, error) {
		return work.Call(ctx, n, &job{}, rpc.Peer("nobody"))
	}
	l.do["wait"] = func(ctx context.Context, _ *Node, req *job) (*report, error) {
		l.gone <- req.Key
		<-ctx.Done()
		return nil, ctx.Err()
	}
	nodes := l.cluster("a", "b")
	l.a, l.b = nodes[0], nodes[1]
	for _, n := range nodes {
		handleSums(n)
	}
	return l
}

// cutOff makes b out of reach for a from now on.
func (l *executedLab) cutOff() {
	l.wires.failing(func(addr string) error {
		if addr == l.b.Addr().String() {
			return syscall.ECONNREFUSED
		}
		return nil
	})
	l.wires.cut()
}

// call makes a call from a.
func (l *executedLab) call(req *job, opts ...rpc.CallOption) error {
	_, err := work.Call(l.t.Context(), l.a, req, opts...)
	return err
}

// NotExecuted is true exactly when no handler can have begun.
func TestNotExecuted(t *testing.T) {
	t.Parallel()
	l := newExecutedLab(t)
	client := dial(t, l.a, ClientConfig{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	tooLong := &job{Data: bytes.Repeat([]byte{1}, 100<<10)}
	pairs := make([]rpc.CallOption, 0, 200)
	for i := range cap(pairs) {
		pairs = append(pairs, rpc.WithMetadata(fmt.Sprint(i), "v"))
	}
	type result struct {
		want bool
		code rpc.Code
		err  error
	}
	of := func(_ any, err error) error { return err }
	for _, peer := range []string{"a", "b"} {
		to, toKey := rpc.Peer(peer), rpc.Key(keysOf(l.a, peer, 1)[0])
		results := map[string]result{
			"no such method":       {true, rpc.Unimplemented, of(nowhere.Call(t.Context(), l.a, nil, to))},
			"no such method, key":  {true, rpc.Unimplemented, of(nowhere.Call(t.Context(), l.a, nil, toKey))},
			"no such stream":       {true, rpc.Unimplemented, of(noStream.Open(t.Context(), l.a, to))},
			"wrong request":        {true, rpc.InvalidArgument, of(wrongWork.Call(t.Context(), l.a, &[]string{"x"}, to))},
			"wrong request, key":   {true, rpc.InvalidArgument, of(wrongWork.Call(t.Context(), l.a, &[]string{"x"}, toKey))},
			"request too long":     {true, rpc.ResourceExhausted, l.call(tooLong, to)},
			"send too long":        {true, rpc.ResourceExhausted, work.Send(t.Context(), l.a, tooLong, to)},
			"too much metadata":    {true, rpc.CodeOf(l.call(&job{}, append(pairs, to)...)), l.call(&job{}, append(pairs, to)...)},
			"context that ended":   {true, rpc.Canceled, of(work.Call(ended, l.a, nil, to))},
			"send of one":          {true, rpc.Canceled, work.Send(ended, l.a, nil, to)},
			"time that is up":      {true, rpc.DeadlineExceeded, l.call(&job{}, to, rpc.Timeout(1))},
			"stream, time is up":   {true, rpc.DeadlineExceeded, of(sums.Open(t.Context(), l.a, to, rpc.Timeout(1)))},
			"a call within fails":  {false, rpc.NotFound, l.call(&job{Do: "nested"}, to)},
			"the handler is late":  {false, rpc.DeadlineExceeded, l.call(&job{Do: "wait"}, to, rpc.Timeout(20*time.Millisecond))},
			"client, no method":    {true, rpc.Unimplemented, of(nowhere.Call(t.Context(), client, nil, to))},
			"client, a call fails": {false, rpc.NotFound, of(work.Call(t.Context(), client, &job{Do: "nested"}, to))},
			"client, too late":     {false, rpc.DeadlineExceeded, of(work.Call(t.Context(), client, &job{Do: "wait"}, to, rpc.Timeout(300*time.Millisecond)))},
			"client, wrong":        {true, rpc.InvalidArgument, of(wrongWork.Call(t.Context(), client, &[]string{"x"}, toKey))},
		}
		for _, code := range rpc.Codes()[1:] {
			err := l.call(&job{Do: "fail", Data: []byte(code.String())}, to)
			results["the handler says "+code.String()] = result{false, code, err}
		}
		for what, r := range results {
			if e := wantCode(t, r.err, r.code); rpc.NotExecuted(e) != r.want || rpc.NotExecuted(fmt.Errorf("x: %w", r.err)) != r.want {
				t.Errorf("%s, at %s: %v: not executed: %v", what, peer, r.err, !r.want)
			}
		}
	}
	for what, r := range map[string]result{
		"no such member":         {true, rpc.NotFound, l.call(&job{}, rpc.Peer("nobody"))},
		"no such policy":         {true, rpc.InvalidArgument, l.call(&job{}, rpc.Any("x"))},
		"client, no such member": {true, rpc.NotFound, of(work.Call(t.Context(), client, nil, rpc.Peer("nobody")))},
		"client, to any":         {true, rpc.Unimplemented, of(nowhere.Call(t.Context(), client, nil))},
		"client, too long":       {true, rpc.ResourceExhausted, of(work.Call(t.Context(), client, tooLong))},
		"client, ended":          {true, rpc.Canceled, of(work.Call(ended, client, nil))},
		"client, stream":         {true, rpc.Unimplemented, of(noStream.Open(t.Context(), client))},
		"client, stream to peer": {true, rpc.InvalidArgument, of(sums.Open(t.Context(), client, rpc.Peer("a")))},
	} {
		if e := wantCode(t, r.err, r.code); rpc.NotExecuted(e) != r.want {
			t.Errorf("%s: %v: not executed: %v", what, r.err, !r.want)
		}
	}
	client.Close()
	if err := of(work.Call(t.Context(), client, nil)); !rpc.NotExecuted(err) {
		t.Errorf("a client that is closed: %v", err)
	}
}

// A node that has as many calls as it takes has not executed the one that it refuses.
func TestNotExecutedWhenFull(t *testing.T) {
	t.Parallel()
	l := newExecutedLab(t)
	ctx, cancel := context.WithCancel(t.Context())
	calls := make(chan error, 2)
	for range cap(calls) {
		go func() {
			_, err := work.Call(ctx, l.a, &job{Do: "wait"}, rpc.Peer("b"))
			calls <- err
		}()
		await(t, "a handler", l.gone)
	}
	once := rpc.NewMethod[job, report](work.Name(), rpc.WithPolicy(rpc.CallPolicy{Retries: rpc.NoRetries}))
	_, err := once.Call(t.Context(), l.a, &job{}, rpc.Peer("b"))
	if wantCode(t, err, rpc.ResourceExhausted); !rpc.NotExecuted(err) {
		t.Errorf("%v", err)
	}
	cancel()
	for range cap(calls) {
		if err := await(t, "a call", calls); rpc.NotExecuted(err) || !errors.Is(err, rpc.Canceled) {
			t.Errorf("a call that was canceled under way: %v", err)
		}
	}
}

// A peer that cannot be reached has not executed a call; one whose connection broke may have, and
// that is not forgotten over later attempts that come to nothing.
func TestNotExecutedOutOfReach(t *testing.T) {
	t.Parallel()
	l := newExecutedLab(t)
	key := rpc.Key(keysOf(l.a, "b", 1)[0])
	soon := rpc.Timeout(300 * time.Millisecond)
	under := func(m rpc.Method[job, report], opts ...rpc.CallOption) error {
		l.wires.failing(nil)
		ended := make(chan error, 1)
		eventually(t, "b is in reach", func() error { return l.call(&job{}, rpc.Peer("b"), soon) })
		go func() {
			_, err := m.Call(t.Context(), l.a, &job{Do: "wait"}, append(opts, soon)...)
			ended <- err
		}()
		await(t, "the handler", l.gone)
		l.cutOff()
		return await(t, "the call", ended)
	}
	for what, err := range map[string]error{
		"it broke under the call":              under(work, rpc.Peer("b")),
		"it broke, and the retry came nowhere": under(safe, rpc.Peer("b")),
		"the same by key":                      under(safe, key, rpc.OwnerOnly()),
	} {
		if err == nil || rpc.NotExecuted(err) {
			t.Errorf("%s: %v: not executed", what, err)
		}
	}
	l.cutOff()
	send := work.Send(t.Context(), l.a, &job{}, rpc.Peer("b"), soon)
	_, open := sums.Open(t.Context(), l.a, rpc.Peer("b"), soon)
	results, err := work.Gather(t.Context(), l.a, &job{}, soon)
	if err != nil || len(results) != 2 || results[0].Err != nil {
		t.Fatalf("%+v, %v", results, err)
	}
	for what, err := range map[string]error{
		"call": l.call(&job{}, rpc.Peer("b"), soon), "by key": l.call(&job{}, key, rpc.OwnerOnly(), soon),
		"send": send, "open": open, "gather": results[1].Err,
	} {
		if err == nil || !rpc.NotExecuted(err) {
			t.Errorf("%s: %v: may have been executed", what, err)
		}
	}
}

// A hedge that may have been executed counts, whatever became of the first attempt.
func TestNotExecutedWithHedges(t *testing.T) {
	t.Parallel()
	l := newExecutedLab(t)
	hedged := rpc.NewMethod[job, report](safe.Name(), rpc.Idempotent(), rpc.Hedge(time.Millisecond))
	_, err := hedged.Call(t.Context(), l.a, &job{Do: "wait"}, rpc.Timeout(50*time.Millisecond))
	if wantCode(t, err, rpc.DeadlineExceeded); rpc.NotExecuted(err) {
		t.Errorf("%v", err)
	}
}

// MessagePack-RPC clients are told, too.
func TestNotExecutedForeign(t *testing.T) {
	t.Parallel()
	l := newExecutedLab(t)
	f := dialForeign(t, l.a)
	for _, c := range []struct {
		method string
		req    *job
		want   string
	}{
		{nowhere.Name(), &job{}, "true"},
		{"", &job{}, "true"},
		{work.Name(), &job{Do: "nested"}, "false"},
		{work.Name(), &job{Do: "fail", Data: []byte("Unimplemented")}, "false"},
	} {
		f.send(0, 1, c.method, []any{c.req})
		var response []any
		if err := f.dec.Decode(&response); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(response[2]); !strings.Contains(got, "not_executed:"+c.want) {
			t.Errorf("%s %s: %s", c.method, c.req.Do, got)
		}
	}
}
