package mprpc

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// overTCP gives a client on a real stream, which can be half-closed and reset.
func (l *lab) overTCP() *client {
	l.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.t.Fatal(err)
	}
	defer ln.Close()
	near, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		l.t.Fatal(err)
	}
	far, err := ln.Accept()
	if err != nil {
		l.t.Fatal(err)
	}
	return l.serve(near, far)
}

// A client that is gone takes its requests along, but not its notifications.
func TestClientGone(t *testing.T) {
	t.Parallel()
	l := newLab(t, Limits{})
	ended := make(chan error, 1)
	l.do["wait"] = func(ctx context.Context, _ *rpc.Call) ([]byte, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}
	noted, release := make(chan error, 1), make(chan struct{})
	l.do["note"] = func(ctx context.Context, _ *rpc.Call) ([]byte, error) {
		<-release
		noted <- ctx.Err()
		return nil, nil
	}
	c := l.overTCP()
	c.send([]any{0, 1, "wait", []any{}}, []any{2, "note", []any{}})
	eventually(t, "both are under way", func() bool { return len(l.invoked()) == 2 })
	_ = c.Close()
	if err := await(t, "the request's end", ended); err != context.Canceled {
		t.Errorf("the request ends with %v", err)
	}
	close(release)
	if err := await(t, "the notification's end", noted); err != nil {
		t.Errorf("the notification's context: %v", err)
	}
	await(t, "ServeConn", c.done)
}

// A client that only half-closes gets the answers that are ready.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	l := newLab(t, Limits{})
	c := l.overTCP()
	c.ask(1, "x", "y").wantResult(t, "before", "y")
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.wantEnd("half-closed")
}

// Drain answers what was accepted, though the client goes on sending.
func TestDrain(t *testing.T) {
	t.Parallel()
	l := newLab(t, Limits{})
	release := l.block("block")
	c, idle := l.overTCP(), l.overTCP()
	idle.ask(1, "x", "y").wantResult(t, "idle", "y")
	const n = 100
	for i := range n {
		c.send([]any{0, i, "block", []any{}})
	}
	eventually(t, "all are under way", func() bool { return len(l.invoked()) == n+1 })
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		l.Drain(t.Context())
	}()
	if _, err := idle.next(); err != io.EOF {
		t.Errorf("the idle client sees %v", err)
	}
	for i := range n {
		c.send([]any{0, n + i, "late", []any{}})
	}
	release()
	for range n {
		a := c.answer()
		a.wantResult(t, "accepted before", true)
		if a.ID >= n {
			t.Errorf("request %d, sent while draining, is answered", a.ID)
		}
	}
	if _, err := c.next(); err != io.EOF {
		t.Errorf("then the client sees %v", err)
	}
	_, _ = c.Close(), idle.Close()
	await(t, "Drain", drained)
	l.connect().wantEnd("a client that comes later")
	if l.count(connsRefused) != 1 {
		t.Errorf("counters %v", l.Stats())
	}
}

// A drain that may not take longer leaves the rest to Close, which cuts it.
func TestDrainCut(t *testing.T) {
	t.Parallel()
	l := newLab(t, Limits{})
	l.block("block")
	c := l.connect()
	c.send([]any{0, 1, "block", []any{}})
	eventually(t, "it is under way", func() bool { return len(l.invoked()) == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	l.Drain(ctx)
	l.Close()
	c.wantEnd("cut")
	l.Close()
}

// Close ends notifications too.
func TestCloseEndsNotifications(t *testing.T) {
	t.Parallel()
	l := newLab(t, Limits{})
	l.block("block")
	c := l.connect()
	c.send([]any{2, "block", []any{}})
	eventually(t, "it is under way", func() bool { return len(l.invoked()) == 1 })
	l.Close()
	c.wantEnd("closed")
}
