package outbox

import (
	"context"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// The methods that a node with a box serves, for programs that have none: a daemon's
// box is used through them.
var (
	// EnqueueMethod has a node's box take a call.
	EnqueueMethod = rpc.NewMethod[EnqueueRequest, EnqueueReply]("outbox.Enqueue", rpc.Unlimited())
	// AwaitMethod waits for the end of a call.
	AwaitMethod = rpc.NewMethod[AwaitRequest, AwaitReply]("outbox.Await", rpc.Idempotent(), rpc.Unlimited())
	// StatusMethod tells how the box stands.
	StatusMethod = rpc.NewMethod[StatusRequest, Status]("outbox.Status", rpc.Idempotent())
	// ListMethod lists calls.
	ListMethod = rpc.NewMethod[ListRequest, ListReply]("outbox.List", rpc.Idempotent())
	// ShowMethod gives one call with what it carries.
	ShowMethod = rpc.NewMethod[ShowRequest, Letter]("outbox.Show", rpc.Idempotent())
	// DecideMethod tries a dead letter again, or drops it, or cancels a pending call.
	DecideMethod = rpc.NewMethod[DecideRequest, DecideReply]("outbox.Decide")
)

type (
	// EnqueueRequest is a rpc.DurableCall.
	EnqueueRequest struct {
		ID       string       `json:"id,omitempty"`
		Method   string       `json:"method"`
		Key      string       `json:"key"`
		Body     []byte       `json:"body"`
		Timeout  int64        `json:"timeout_ms,omitempty"`
		Metadata rpc.Metadata `json:"metadata,omitempty"`
	}
	// EnqueueReply says that the call is on the disk.
	EnqueueReply struct {
		ID string `json:"id"`
	}
	// AwaitRequest names a call.
	AwaitRequest struct {
		ID string `json:"id"`
	}
	// AwaitReply is how it ended: Code is 0 if it was executed.
	AwaitReply struct {
		Code    uint64 `json:"code"`
		Message string `json:"message,omitempty"`
		Reply   []byte `json:"reply,omitempty"`
	}
	// StatusRequest is empty.
	StatusRequest struct{}
	// ListRequest asks for calls of a state (pending, done or dead; empty: all), at
	// most Limit (0: 1000), the oldest first.
	ListRequest struct {
		State string `json:"state,omitempty"`
		Limit int    `json:"limit,omitempty"`
	}
	// ListReply are the calls.
	ListReply struct {
		Calls []Letter `json:"calls"`
	}
	// ShowRequest names a call.
	ShowRequest struct {
		ID string `json:"id"`
	}
	// DecideRequest names a dead letter, which Retry or Drop says what becomes of, or
	// with Cancel a pending call.
	DecideRequest struct {
		ID     string `json:"id"`
		Retry  bool   `json:"retry,omitempty"`
		Drop   bool   `json:"drop,omitempty"`
		Cancel bool   `json:"cancel,omitempty"`
	}
	// DecideReply has the call that was cancelled.
	DecideReply struct {
		Canceled *Letter `json:"canceled,omitempty"`
	}
)

// listLimit bounds the reply of ListMethod.
const listLimit = 1000

// serve registers the methods.
func (b *Box) serve(r rpc.Registrar) {
	EnqueueMethod.Handle(r, func(ctx context.Context, req *EnqueueRequest) (*EnqueueReply, error) {
		call := rpc.DurableCall{
			ID: req.ID, Method: req.Method, Key: req.Key, Body: req.Body, Metadata: req.Metadata,
			Timeout: time.Duration(req.Timeout) * time.Millisecond,
		}
		if info, ok := rpc.InfoFrom(ctx); ok {
			who := info.Caller
			call.For = &who
		}
		id, err := b.Add(ctx, call)
		return &EnqueueReply{ID: id}, err
	})
	AwaitMethod.Handle(r, func(ctx context.Context, req *AwaitRequest) (*AwaitReply, error) {
		out, err := b.Await(ctx, req.ID)
		reply := &AwaitReply{Reply: out.Reply}
		if out.Err != nil {
			e := rpc.AsError(out.Err)
			reply.Code, reply.Message = uint64(e.Code), e.Message
		}
		return reply, err
	})
	StatusMethod.Handle(r, func(context.Context, *StatusRequest) (*Status, error) {
		s := b.Status()
		return &s, nil
	})
	ListMethod.Handle(r, func(_ context.Context, req *ListRequest) (*ListReply, error) {
		limit := req.Limit
		if limit <= 0 || limit > listLimit {
			limit = listLimit
		}
		return &ListReply{Calls: b.List(limit, func(l Letter) bool { return req.State == "" || l.State == req.State })}, nil
	})
	ShowMethod.Handle(r, func(_ context.Context, req *ShowRequest) (*Letter, error) {
		l, err := b.Show(req.ID)
		return &l, err
	})
	DecideMethod.Handle(r, b.decide)
}

// decide does what a person says.
func (b *Box) decide(ctx context.Context, req *DecideRequest) (*DecideReply, error) {
	switch {
	case req.Retry && !req.Drop && !req.Cancel:
		return &DecideReply{}, b.Retry(req.ID)
	case req.Drop && !req.Retry && !req.Cancel:
		return &DecideReply{}, b.Drop(req.ID)
	case req.Cancel && !req.Retry && !req.Drop:
		l, err := b.Cancel(ctx, req.ID)
		return &DecideReply{Canceled: &l}, err
	}
	return nil, rpc.Errorf(rpc.InvalidArgument, "want one of retry, drop and cancel")
}
