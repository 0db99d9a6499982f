package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/meshnode/meshnode/rpc"
)

// More pairs than the protocol allows are refused here; sent to a peer they
// would end the connection for everybody on it.
func TestMetadataLimits(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	both(t, l, func(t *testing.T, from *Node, to rpc.CallOption) {
		opts, before := []rpc.CallOption{to}, from.Stats()["conns_closed"]
		for i := range rpc.MaxMetadata {
			opts = append(opts, rpc.WithMetadata(fmt.Sprint(i), ""))
		}
		if _, err := work.Call(t.Context(), from, &job{}, opts...); err != nil {
			t.Errorf("%d pairs: %v", rpc.MaxMetadata, err)
		}
		_, err := work.Call(t.Context(), from, &job{}, append(opts, rpc.WithMetadata("one", "more"))...)
		wantCode(t, err, rpc.InvalidArgument)
		if broken := from.Stats()["conns_closed"] - before; broken > 0 {
			t.Errorf("%d connections ended", broken)
		}
	})
	a := l.nodes[0]
	_, err := work.Call(t.Context(), a, &job{}, rpc.Peer("b"), rpc.WithMetadata("k", strings.Repeat("x", 64<<10)))
	wantCode(t, err, rpc.ResourceExhausted)
}

// A long text is cut, not refused.
func TestLongErrorText(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.do["talk"] = func(context.Context, *Node, *job) (*report, error) {
		return nil, errors.New(strings.Repeat("x", 100<<10))
	}
	a := l.cluster("a", "b")[0]
	_, err := work.Call(t.Context(), a, &job{Do: "talk"}, rpc.Peer("b"))
	if e := wantCode(t, err, rpc.Internal); len(e.Message) != rpc.MaxMessage {
		t.Errorf("%d bytes of text arrive", len(e.Message))
	}
}

func TestUnimplemented(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nobody := rpc.NewMethod[job, report]("lab.Nobody")
	both(t, l, func(t *testing.T, from *Node, to rpc.CallOption) {
		var who string
		_, err := nobody.Call(t.Context(), from, &job{}, to, rpc.Answered(&who))
		if e := wantCode(t, err, rpc.Unimplemented); who == "" || !strings.Contains(e.Message, "lab.Nobody") {
			t.Errorf("%q answered: %v", who, e)
		}
	})
}

func TestFrameLimits(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.do["grow"] = func(_ context.Context, _ *Node, req *job) (*report, error) {
		return &report{Data: make([]byte, len(req.Data)*100)}, nil
	}
	l.edit = func(cfg *Config) { cfg.Limits.Transport.MaxBody = 32 << 10 }
	a := l.cluster("a", "b")[0]
	before := a.Stats()["conns_closed"]
	for size, want := range map[int]rpc.Code{0: rpc.OK, 31 << 10: rpc.OK, 33 << 10: rpc.ResourceExhausted, 8 << 20: rpc.ResourceExhausted} {
		_, err := work.Call(t.Context(), a, &job{Key: "big", Data: make([]byte, size)}, rpc.Peer("b"))
		if rpc.CodeOf(err) != want {
			t.Errorf("a request of %d bytes: %v, want %v", size, err, want)
		}
		if err != nil && rpc.AsError(err).RetryAfter != rpc.NeverRetry {
			t.Errorf("a request of %d bytes may be tried again: %v", size, err)
		}
	}
	if ran := l.executed("big"); len(ran) != 2 {
		t.Errorf("executed %d times", len(ran))
	}
	_, err := work.Call(t.Context(), a, &job{Do: "grow", Data: make([]byte, 1000)}, rpc.Peer("b"))
	if e := wantCode(t, err, rpc.ResourceExhausted); e.RetryAfter != rpc.NeverRetry {
		t.Errorf("a reply that is too large may be tried again: %v", e)
	}
	if _, err := work.Call(t.Context(), a, &job{}, rpc.Peer("b")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if broken := a.Stats()["conns_closed"] - before; broken > 0 {
		t.Errorf("%d connections ended", broken)
	}
}

// Requests that are no msgpack, or not what the method takes, do not reach
// the handler.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	raw := rpc.NewMethod[[]byte, []byte](work.Name())
	both(t, l, func(t *testing.T, from *Node, to rpc.CallOption) {
		for _, body := range [][]byte{{}, {0xc1}, {0xdd, 0xff, 0xff, 0xff, 0xff}, {0xa1, 'x'}, {0x80, 0x80}} {
			_, err := raw.Call(t.Context(), from, &body, to)
			wantCode(t, err, rpc.InvalidArgument)
		}
	})
	if ran := l.executed(""); len(ran) != 0 {
		t.Errorf("executed on %v", ran)
	}
}
