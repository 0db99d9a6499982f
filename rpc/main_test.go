package rpc

import (
	"context"
	"errors"
	"fmt"
	"runtime/metrics"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mesh is a Caller and a Registrar in memory. It encodes and decodes like a
// connection and runs the same handlers under every name that targets lists.
type mesh struct {
	client  []ClientInterceptor
	server  []ServerInterceptor
	targets func(dest Dest) ([]string, error)
	fail    map[string]error // of calls to the peer of that name

	mu       sync.Mutex
	handlers map[string]*Handler
	calls    []Call // as they arrived here
}

func (m *mesh) Register(h *Handler) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.handlers == nil {
		m.handlers = make(map[string]*Handler)
	}
	if m.handlers[h.Spec.Name()] != nil {
		return fmt.Errorf("method %q has a handler already", h.Spec.Name())
	}
	m.handlers[h.Spec.Name()] = h
	return nil
}

func (m *mesh) Targets(_ context.Context, dest Dest) ([]string, error) { return m.targets(dest) }

func (m *mesh) Invoke(ctx context.Context, call *Call) error {
	return ChainClient(m.client, m.carry)(ctx, call)
}

func (m *mesh) carry(ctx context.Context, call *Call) error {
	m.mu.Lock()
	h := m.handlers[call.Spec.Name()]
	m.calls = append(m.calls, *call)
	m.mu.Unlock()
	peer := call.Dest.Peer
	if err := m.fail[peer]; err != nil {
		return err
	}
	call.AnsweredBy(peer)
	if h == nil {
		return Errorf(Unimplemented, "no %s", call.Spec.Name())
	}
	body, err := call.Spec.AppendRequest(nil, call.Req)
	if err != nil {
		return err
	}
	req, err := h.Spec.DecodeRequest(body)
	if err != nil {
		return err
	}
	ctx, info := WithInfo(ctx, Info{Method: call.Spec.Name(), Peer: peer, Metadata: call.Metadata})
	reply, err := Guard(func() (any, error) { return ChainServer(ctx, m.server, info, h, req) })
	if err != nil || call.OneWay {
		return err
	}
	if body, err = h.Spec.AppendReply(nil, reply); err != nil {
		return err
	}
	call.Reply, err = call.Spec.DecodeReply(body)
	return err
}

// last is the call that arrived last.
func (m *mesh) last(t *testing.T) *Call {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.calls) == 0 {
		t.Fatal("no call arrived")
	}
	return &m.calls[len(m.calls)-1]
}

// wantCode fails unless err is an *Error with that code.
func wantCode(t *testing.T, err error, want Code) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != want {
		t.Fatalf("error is %T %v, want an *Error with code %v", err, err, want)
	}
	return e
}

// allocated gives the bytes that f allocates. Nothing else may run meanwhile.
func allocated(f func()) uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	f()
	metrics.Read(sample)
	return sample[0].Value.Uint64() - before
}
