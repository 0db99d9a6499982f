package node

import (
	"context"
	"io"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// keptByEach returns how many bytes one run of f leaves on the heap, by the difference
// that n of them make.
func keptByEach(f func(), n int) float64 {
	heap := func() int64 {
		for range 3 { // pools are emptied by the second
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for range n { // what grows once has grown
		f()
	}
	before := heap()
	for range n {
		f()
	}
	return float64(heap()-before) / float64(n)
}

// A call or stream that has ended keeps nothing while its caller's context lives: to
// another node, to the own one, from a client, and over MessagePack-RPC; whichever side
// ended it, and whether or not the caller received to the end.
func TestEndedCallsKeepNothing(t *testing.T) {
	l := newLab(t)
	nodes := l.cluster("a", "b")
	for _, n := range nodes {
		handleSums(n)
	}
	client := dial(t, nodes[1], ClientConfig{})
	foreign := dialForeign(t, nodes[0])
	if code, _ := foreign.ask("mesh.Ping"); code != "OK" { // silent, it would be cut before its turn
		t.Fatal(code)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begin := func(c rpc.StreamCaller, to rpc.CallOption, opts ...rpc.CallOption) *rpc.ClientStream[countRequest, countReply] {
		s, err := sums.Open(ctx, c, append(opts, to)...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	ways := map[string]func(){
		"MessagePack-RPC": func() {
			if code, _ := foreign.ask("mesh.Ping"); code != "OK" {
				t.Fatal(code)
			}
		},
	}
	for name, c := range map[string]struct {
		from interface {
			rpc.Caller
			rpc.StreamCaller
		}
		to, stream rpc.CallOption
	}{
		"remote": {nodes[0], rpc.Peer("b"), rpc.Peer("b")},
		"local":  {nodes[0], rpc.Peer("a"), rpc.Peer("a")},
		"client": {client, rpc.Peer("b"), rpc.Any("")},
	} {
		ways["call, "+name] = func() {
			if _, err := work.Call(ctx, c.from, &job{}, c.to); err != nil {
				t.Fatal(err)
			}
		}
		ways["stream ended by its server, "+name] = func() {
			s := begin(c.from, c.stream)
			if err := s.Send(&countRequest{N: -1}); err != nil {
				t.Fatal(err)
			}
			for {
				if err := s.Send(&countRequest{}); err != nil {
					return // it has ended, and that is all we want to know
				}
				runtime.Gosched()
			}
		}
		ways["stream received to the end, "+name] = func() {
			s := begin(c.from, c.stream)
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Recv(); err != io.EOF {
				t.Fatal(err)
			}
		}
		ways["stream past its deadline, "+name] = func() {
			s, err := sums.Open(ctx, c.from, c.stream, rpc.Timeout(5*time.Millisecond))
			if err == nil {
				_, err = s.Recv()
			}
			if rpc.CodeOf(err) != rpc.DeadlineExceeded { // on a busy machine Open's
				t.Fatal(err)
			}
		}
		ways["stream closed, "+name] = func() { begin(c.from, c.stream).Close() }
	}
	for name, run := range ways {
		t.Run(name, func(t *testing.T) {
			quiet := func() {
				run()
				eventually(t, "handlers end", func() error { return busy(nodes) })
			}
			var sizes []float64
			for range 5 { // gossip makes some noise, but not each time; what is kept is there each time
				sizes = append(sizes, keptByEach(quiet, 25))
				if slices.Min(sizes) <= 200 {
					return
				}
			}
			t.Errorf("each keeps %.0f bytes", sizes)
		})
	}
}

// busy reports whether some node still serves calls of others.
func busy(nodes []*Node) error {
	for _, n := range nodes {
		if n.endpoint.Serving() > 0 {
			return io.ErrNoProgress
		}
	}
	return nil
}
