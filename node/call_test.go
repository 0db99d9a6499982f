package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// both runs a test against a handler in the same process and one in another
// node: nobody should be able to tell them apart.
func both(t *testing.T, l *lab, test func(t *testing.T, from *Node, to rpc.CallOption)) {
	t.Helper()
	nodes := l.cluster("a", "b")
	for where, peer := range map[string]string{"local": "a", "remote": "b"} {
		t.Run(where, func(t *testing.T) { test(t, nodes[0], rpc.Peer(peer)) })
		t.Run(where+" by key", func(t *testing.T) { test(t, nodes[0], rpc.Key(keysOf(nodes[0], peer, 1)[0])) })
	}
}

// within fails if f takes much longer than d.
func within(t *testing.T, d time.Duration, f func()) {
	t.Helper()
	began := time.Now()
	f()
	if took := time.Since(began); took > d+2*time.Second {
		t.Errorf("took %v, want about %v", took, d)
	}
}

// A handler that heeds nothing does not hold its caller.
func TestDeadline(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	release := make(chan struct{})
	defer close(release)
	l.do["deaf"] = func(context.Context, *Node, *job) (*report, error) { <-release; return nil, nil }
	slow := rpc.NewMethod[job, report](work.Name(), rpc.DefaultTimeout(40*time.Millisecond))
	both(t, l, func(t *testing.T, from *Node, to rpc.CallOption) {
		const d = 40 * time.Millisecond
		within(t, d, func() {
			_, err := work.Call(t.Context(), from, &job{Do: "deaf"}, to, rpc.Timeout(d))
			wantCode(t, err, rpc.DeadlineExceeded)
		})
		within(t, d, func() {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			_, err := work.Call(ctx, from, &job{Do: "deaf"}, to, rpc.Timeout(time.Hour))
			if wantCode(t, err, rpc.DeadlineExceeded); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v is no context.DeadlineExceeded", err)
			}
		})
		within(t, d, func() {
			_, err := slow.Call(t.Context(), from, &job{Do: "deaf"}, to)
			wantCode(t, err, rpc.DeadlineExceeded)
		})
	})
}

// The handler's context has the caller's deadline and ends with its call.
func TestDeadlineAndCancelTravel(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	type seen struct {
		due   time.Time
		ended error
	}
	began, ended := make(chan struct{}, 1), make(chan seen, 1)
	l.do["heed"] = func(ctx context.Context, _ *Node, _ *job) (*report, error) {
		due, _ := ctx.Deadline()
		began <- struct{}{}
		select {
		case <-ctx.Done():
		case <-time.After(patience):
		}
		ended <- seen{due, ctx.Err()}
		return nil, ctx.Err()
	}
	expired := make(chan error, 1)
	l.do["expire"] = func(ctx context.Context, _ *Node, _ *job) (*report, error) {
		<-ctx.Done()
		select {
		case expired <- ctx.Err():
		default:
		}
		return nil, ctx.Err()
	}
	both(t, l, func(t *testing.T, from *Node, to rpc.CallOption) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		due, _ := ctx.Deadline()
		failed := make(chan error, 1)
		go func() {
			_, err := work.Call(ctx, from, &job{Do: "heed"}, to)
			failed <- err
		}()
		await(t, "the handler's begin", began)
		cancel()
		wantCode(t, await(t, "the call's end", failed), rpc.Canceled)
		got := await(t, "the handler's end", ended)
		if got.ended != context.Canceled {
			t.Errorf("the handler's context ended with %v", got.ended)
		}
		if off := got.due.Sub(due).Abs(); off > time.Second {
			t.Errorf("the handler's deadline is %v off", off)
		}
		eventually(t, "a handler's context ends with the deadline", func() error {
			_, err := work.Call(t.Context(), from, &job{Do: "expire"}, to, rpc.Timeout(50*time.Millisecond))
			wantCode(t, err, rpc.DeadlineExceeded)
			select {
			case <-expired:
				return nil
			case <-time.After(time.Second):
				return err // it came too late to begin
			}
		})
	})
}

func TestMetadataTravels(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var mu sync.Mutex
	var seen *rpc.Info
	l.do["look"] = func(ctx context.Context, _ *Node, _ *job) (*report, error) {
		mu.Lock()
		defer mu.Unlock()
		seen, _ = rpc.InfoFrom(ctx)
		return &report{}, nil
	}
	both(t, l, func(t *testing.T, from *Node, to rpc.CallOption) {
		want := rpc.Metadata{"k": "v", "bytes": "\x00\xff", "": "empty", "long": strings.Repeat("x", 3000)}
		opts := []rpc.CallOption{to}
		for k, v := range want {
			opts = append(opts, rpc.WithMetadata(k, v))
		}
		if _, err := work.Call(t.Context(), from, &job{Do: "look"}, opts...); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		if !maps.Equal(seen.Metadata, want) || seen.Peer != "a" || seen.Method != "lab.Work" || seen.Attempt != 0 {
			t.Errorf("the handler sees %+v", seen)
		}
	})
}

// The handler's metadata are its own: the caller, who may be gone before the
// handler ends, can go on with its map.
func TestMetadataAreCopied(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	seen := make(chan rpc.Metadata, 1)
	l.do["keep"] = func(ctx context.Context, _ *Node, _ *job) (*report, error) {
		info, _ := rpc.InfoFrom(ctx)
		seen <- info.Metadata
		return nil, nil
	}
	a := l.start("a")
	call := rpc.Call{Spec: work.Spec(), Req: &job{Do: "keep"}, Metadata: rpc.Metadata{"k": "v"}}
	if err := a.Invoke(t.Context(), &call); err != nil {
		t.Fatal(err)
	}
	call.SetMetadata("k", "changed")
	if got := await(t, "the call", seen); got["k"] != "v" {
		t.Errorf("the handler has %v", got)
	}
}

func TestErrorsTravel(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var nothing *rpc.Error
	cases := []struct {
		name    string
		fail    error
		code    rpc.Code
		message string
		detail  string
	}{
		{"plain", errors.New("disk full"), rpc.Internal, "disk full", ""},
		{"bare code", rpc.PermissionDenied, rpc.PermissionDenied, "", ""},
		{"context", context.Canceled, rpc.Canceled, "the handler of lab.Work returned context canceled", ""},
		{"typed nil", nothing, rpc.Internal, "a nil *rpc.Error was returned as an error", ""},
		{"OK", rpc.Errorf(rpc.OK, "fine"), rpc.Internal, "an error with the code OK: fine", ""},
		{"unknown code", rpc.Code(4711), rpc.Code(4711), "", ""},
		{"NotOwner by the handler", rpc.Errorf(rpc.NotOwner, "moved"), rpc.NotOwner, "moved", ""},
		{"Unimplemented by the handler", rpc.Errorf(rpc.Unimplemented, "later"), rpc.Unimplemented, "later", ""},
	}
	for _, code := range rpc.Codes()[1:] {
		err := &rpc.Error{Code: code, Message: "because", Detail: []byte("\x00detail")}
		cases = append(cases, struct {
			name    string
			fail    error
			code    rpc.Code
			message string
			detail  string
		}{code.String(), err, code, "because", "\x00detail"})
	}
	l.do["fail"] = func(_ context.Context, _ *Node, req *job) (*report, error) { return nil, cases[req.Data[0]].fail }
	both(t, l, func(t *testing.T, from *Node, to rpc.CallOption) {
		for i, c := range cases {
			key := fmt.Sprintf("%s %d", t.Name(), i)
			who := "nobody"
			_, err := work.Call(t.Context(), from, &job{Do: "fail", Key: key, Data: []byte{byte(i)}}, to, rpc.Answered(&who))
			e := wantCode(t, err, c.code)
			if e.Message != c.message || string(e.Detail) != c.detail || !errors.Is(err, c.code) {
				t.Errorf("%s arrives as %q %q, want %q %q", c.name, e.Message, e.Detail, c.message, c.detail)
			}
			if ran := l.executed(key); len(ran) != 1 || ran[0] != who {
				t.Errorf("%s: executed on %v, answered by %q; want once, by the one who answered", c.name, ran, who)
			}
		}
	})
}

// A panic ends the call, not the node. Its stack is in the log of the node
// where it happened and nowhere else.
func TestPanics(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.do["panic"] = func(_ context.Context, _ *Node, req *job) (*report, error) {
		switch string(req.Data) {
		case "index":
			return &report{Node: strings.Split("one", ",")[len(req.Data)]}, nil
		case "error":
			panic(errors.New("secret error"))
		}
		panic(unprintable{})
	}
	both(t, l, func(t *testing.T, from *Node, to rpc.CallOption) {
		for _, how := range []string{"index", "error", "unprintable"} {
			var who string
			_, err := work.Call(t.Context(), from, &job{Do: "panic", Data: []byte(how)}, to, rpc.Answered(&who))
			e := wantCode(t, err, rpc.Internal)
			for _, secret := range []string{"secret", "range", "call_test.go", "goroutine"} {
				if strings.Contains(e.Message, secret) {
					t.Errorf("the caller learns %q: %s", secret, e.Message)
				}
			}
			if !strings.Contains(e.Message, who) || !strings.Contains(e.Message, "lab.Work") {
				t.Errorf("the message does not say where: %s", e.Message)
			}
			if _, err := work.Call(t.Context(), from, &job{}, to); err != nil {
				t.Errorf("after the panic: %v", err)
			}
		}
	})
	for _, name := range []string{"a", "b"} {
		log := l.log(name)
		log.wait(t, `"panic":"secret error"`, "call_test.go", "TestPanics", "lab.Work")
		log.wait(t, "index out of range [5] with length 1", "call_test.go")
		if n := strings.Count(log.String(), "handler panicked"); n != 6 {
			t.Errorf("%d panics in the log of %s, want 6", n, name)
		}
	}
	for _, n := range l.nodes {
		if got := n.Stats()["panics"]; got != 6 {
			t.Errorf("%s counts %d panics", n.Name(), got)
		}
	}
}

// unprintable makes those panic who look at it.
type unprintable struct{}

func (unprintable) String() string { panic("no") }

func (unprintable) MarshalJSON() ([]byte, error) { panic("no") }
