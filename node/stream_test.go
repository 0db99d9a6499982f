package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

type (
	countRequest struct{ N int }
	countReply   struct {
		Node string
		Sum  int
	}
)

// sums gives the running sum of what it gets, and fails at a negative number.
var sums = rpc.NewStream[countRequest, countReply]("test.Sums")

func handleSums(n *Node) {
	sums.Handle(n, func(ctx context.Context, s *rpc.ServerStream[countRequest, countReply]) error {
		if info, ok := rpc.InfoFrom(ctx); !ok || info.Method != sums.Name() {
			return rpc.Errorf(rpc.Internal, "the context does not know its stream")
		}
		sum := 0
		for req, err := range s.All() {
			if err != nil {
				return err
			}
			if req.N < 0 {
				return &rpc.Error{Code: rpc.FailedPrecondition, Message: fmt.Sprint("negative: ", req.N), Detail: []byte("d")}
			}
			sum += req.N
			if err := s.Send(&countReply{Node: n.Name(), Sum: sum}); err != nil {
				return err
			}
		}
		return nil
	})
}

// streamLab is a cluster of three that serves sums.
func streamLab(t *testing.T) []*Node {
	nodes := newLab(t).cluster("a", "b", "c")
	for _, n := range nodes {
		handleSums(n)
	}
	return nodes
}

// openSums opens sums on a node by name.
func openSums(t *testing.T, c rpc.StreamCaller, opts ...rpc.CallOption) *rpc.ClientStream[countRequest, countReply] {
	t.Helper()
	s, err := sums.Open(t.Context(), c, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// A stream goes to where its destination says, itself included, and its
// messages come in order, both ways.
func TestStreamReachesItsNode(t *testing.T) {
	nodes := streamLab(t)
	a := nodes[0]
	client, err := Dial(t.Context(), a.Addr().String(), ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	for _, c := range []struct {
		name, want string
		from       rpc.StreamCaller
		opt        rpc.CallOption
	}{
		{"peer", "b", a, rpc.Peer("b")},
		{"itself", "a", a, rpc.Peer("a")},
		{"key of another", "c", a, rpc.Key(keyOf(a, "c"))},
		{"key of its own", "a", a, rpc.Key(keyOf(a, "a"))},
		{"client", "a", client, rpc.Any(rpc.RoundRobin)},
	} {
		s := openSums(t, c.from, c.opt)
		if s.Peer() != c.want {
			t.Errorf("%s: served by %s, want %s", c.name, s.Peer(), c.want)
		}
		go func() {
			for n := range 1000 {
				if err := s.Send(&countRequest{N: n}); err != nil {
					t.Errorf("%s: %v", c.name, err)
					return
				}
			}
			_ = s.CloseSend()
		}()
		want, n := 0, 0
		for reply, err := range s.All() {
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if want += n; reply.Sum != want || reply.Node != c.want {
				t.Fatalf("%s: message %d is %+v, want sum %d", c.name, n, *reply, want)
			}
			n++
		}
		if n != 1000 {
			t.Errorf("%s: %d messages came, want 1000", c.name, n)
		}
	}
}

// The handler's error comes behind its last message, as it was given.
func TestStreamEndsByError(t *testing.T) {
	nodes := streamLab(t)
	for _, where := range []string{"a", "b"} {
		s := openSums(t, nodes[0], rpc.Peer(where))
		for _, n := range []int{1, 2, -7} {
			if err := s.Send(&countRequest{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []int{1, 3} {
			if reply, err := s.Recv(); err != nil || reply.Sum != want {
				t.Fatalf("at %s: %+v, %v, want sum %d", where, reply, err, want)
			}
		}
		_, err := s.Recv()
		var e *rpc.Error
		if !errors.As(err, &e) || e.Code != rpc.FailedPrecondition || e.Message != "negative: -7" || string(e.Detail) != "d" {
			t.Errorf("at %s: the stream ended by %v", where, err)
		}
		for err = nil; err == nil; { // as soon as the end is known here
			err = s.Send(&countRequest{N: 1})
		}
		if err != io.EOF {
			t.Errorf("at %s: sending on an ended stream gives %v", where, err)
		}
	}
}

// What cannot be opened says why.
func TestStreamRefusals(t *testing.T) {
	nodes := streamLab(t)
	lost := rpc.NewStream[countRequest, countReply]("test.Nobody")
	asCall := rpc.NewMethod[countRequest, countReply](sums.Name())
	asStream := rpc.NewStream[job, report](work.Name())
	for _, where := range []string{"a", "b"} {
		opt := rpc.Peer(where)
		_, unknown := lost.Open(t.Context(), nodes[0], opt)
		_, called := asCall.Call(t.Context(), nodes[0], nil, opt)
		_, opened := asStream.Open(t.Context(), nodes[0], opt)
		for what, err := range map[string]error{"unknown": unknown, "called": called, "opened": opened} {
			if !errors.Is(err, rpc.Unimplemented) {
				t.Errorf("%s at %s: %v", what, where, err)
			}
		}
	}
	if _, err := sums.Open(t.Context(), nodes[0], rpc.All()); !errors.Is(err, rpc.InvalidArgument) {
		t.Errorf("to all: %v", err)
	}
	if _, err := sums.Open(t.Context(), nodes[0], rpc.Peer("nobody")); !errors.Is(err, rpc.NotFound) {
		t.Errorf("to nobody: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := sums.Open(ctx, nodes[0], rpc.Peer("b")); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

// Cancel and deadline of the caller reach the handler, and both sides.
func TestStreamIsCancelled(t *testing.T) {
	nodes := newLab(t).cluster("a", "b")
	wait := rpc.NewStream[countRequest, countReply]("test.Wait")
	ended := make(chan error, 1)
	for _, n := range nodes {
		wait.Handle(n, func(ctx context.Context, s *rpc.ServerStream[countRequest, countReply]) error {
			_, err := s.Recv()
			<-ctx.Done()
			ended <- err
			return err
		})
	}
	open := func(ctx context.Context, where string, opts ...rpc.CallOption) *rpc.ClientStream[countRequest, countReply] {
		t.Helper()
		s, err := wait.Open(ctx, nodes[0], append(opts, rpc.Peer(where))...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	check := func(what string, s *rpc.ClientStream[countRequest, countReply], want error) {
		t.Helper()
		if err := await(t, "end of the handler", ended); !errors.Is(err, want) {
			t.Errorf("%s: the handler's Recv gives %v, want %v", what, err, want)
		}
		if _, err := s.Recv(); err == nil {
			t.Errorf("%s: the caller's Recv goes on", what)
		}
	}
	for _, where := range []string{"a", "b"} {
		s := open(t.Context(), where)
		s.Close()
		check("closed, at "+where, s, context.Canceled)
		ctx, cancel := context.WithCancel(t.Context())
		s = open(ctx, where)
		cancel()
		check("cancelled, at "+where, s, context.Canceled)
		s.Close()
		s = open(t.Context(), where, rpc.Timeout(50*time.Millisecond))
		check("late, at "+where, s, context.DeadlineExceeded)
		s.Close()
	}
}

// A stream that has ended keeps nothing while the context that it was opened with lives, even if
// nobody closes it.
func TestEndedLocalStreamsKeepNothing(t *testing.T) {
	a := newLab(t).start("a")
	handleSums(a)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	use := func(streams int) (heap uint64, goroutines int) {
		opts := []rpc.CallOption{rpc.Peer("a"), rpc.Timeout(time.Hour)}
		for i := range streams {
			s, err := sums.Open(ctx, a, opts[:1+i%2]...)
			if err == nil {
				err = s.CloseSend()
			}
			if err == nil {
				_, err = s.Recv()
			}
			if err != io.EOF {
				t.Fatal(err)
			}
		}
		eventually(t, "the handlers' end", func() error {
			if left := a.running.Load().state.Load(); left > 0 {
				return fmt.Errorf("%d handlers run", left)
			}
			return nil
		})
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc, runtime.NumGoroutine()
	}
	const streams = 2000
	heap, goroutines := use(streams)
	more, now := use(streams)
	if kept := (int64(more) - int64(heap)) / streams; kept > 100 || now > goroutines+streams/10 {
		t.Errorf("an ended stream keeps %d bytes; %d goroutines became %d", kept, goroutines, now)
	}
}
