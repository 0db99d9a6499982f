package rpc

import (
	"context"
	"time"
)

// MaxID is the most bytes that the id of a durable call has.
const MaxID = 128

// DurableCall is a call that a Queue keeps until it is made.
type DurableCall struct {
	ID     string // empty: the queue makes one
	Method string
	Key    string // whose owner executes it
	Body   []byte // the encoded request; the queue's from now on
	// Timeout is how long it is tried. 0: as the queue has it.
	Timeout  time.Duration
	Metadata Metadata // sent along; the queue's from now on
	// For is who the call is made for, and is not changed; nil: the queue's node. See OnBehalf.
	For *Identity
}

// Outcome is how a durable call ended.
type Outcome struct {
	Reply []byte // the encoded reply; the caller's
	Err   error  // an *Error, nil if the call was executed
}

// Queue takes calls and makes them later, whatever crashes meanwhile.
// *outbox.Box is one.
type Queue interface {
	// Add returns the call's id once the call is sure to be made. The same id
	// with the same method, key and body is the same call, and added once; with
	// others the error is a FailedPrecondition.
	Add(ctx context.Context, call DurableCall) (id string, err error)
	// Await waits for the end of a call. An id that the queue does not know, or
	// no longer, is NotFound.
	Await(ctx context.Context, id string) (Outcome, error)
}

// Enqueue hands req to a queue, to be executed by the owner of the key, and
// returns the call's id once the queue has made it durable. The destination must
// be a Key; of other options ID, Timeout (how long it is tried), WithMetadata and
// OnBehalf count. A nil req stands for the zero Req.
func (m Method[Req, Reply]) Enqueue(ctx context.Context, q Queue, req *Req, opts ...CallOption) (id string, err error) {
	call := Call{Spec: m.spec}
	if err := call.apply(opts); err != nil {
		return "", err
	}
	if call.Dest.Kind != ToKey {
		return "", refuse(InvalidArgument, "%s: a durable call goes to the owner of a key; give it rpc.Key", m.spec.name)
	}
	body, err := m.spec.appendSorted(nil, orZero(req))
	if err != nil {
		return "", err
	}
	id, err = q.Add(ctx, DurableCall{
		ID: call.ID, Method: m.spec.name, Key: call.Dest.Key, Body: body, Timeout: call.Timeout, Metadata: call.Metadata,
		For: call.For,
	})
	if err != nil {
		return "", AsError(err)
	}
	return id, nil
}

// Await waits for the reply of a durable call. The error is the call's own if it
// was refused for good or has expired.
func (m Method[Req, Reply]) Await(ctx context.Context, q Queue, id string) (*Reply, error) {
	out, err := q.Await(ctx, id)
	if err == nil {
		err = out.Err
	}
	if err != nil {
		return nil, AsError(err)
	}
	reply, err := m.spec.DecodeReply(out.Reply)
	if err != nil {
		return nil, Errorf(Internal, "%s: the reply: %v", m.spec.name, err)
	}
	return reply.(*Reply), nil
}

// appendSorted is AppendRequest where equal requests are equal bytes, as far as
// types that encode themselves keep to that: a queue compares them.
func (s *Spec) appendSorted(dst []byte, req any) ([]byte, error) {
	b := bounds(MaxBody)
	b.Sorted = true
	return s.encodeRequest(dst, req, b)
}
