package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// Invoke carries one call to its destination; it implements rpc.Caller. Use
// the methods of rpc.Method instead, but for gateways.
func (n *Node) Invoke(ctx context.Context, call *rpc.Call) error { return n.invoker(ctx, call) }

// route is what stands behind the client interceptors.
func (n *Node) route(ctx context.Context, call *rpc.Call) error {
	if !n.calls.enter() {
		return rpc.Errorf(rpc.Unavailable, "node %s is not running", n.cfg.Name)
	}
	defer n.calls.leave()
	o := outgoing{n: n, call: call}
	o.due, o.left = dueOf(ctx, call, n.cfg.Limits.CallTimeout, n.started)
	_, bounded := ctx.Deadline()
	o.endless = call.Spec.Streams() && !bounded && call.Timeout == 0 && call.Spec.Timeout() == 0
	defer o.release()
	if ctx.Err() != nil {
		return o.ended(ctx)
	}
	if err := checkMetadata(call); err != nil {
		return err
	}
	switch call.Dest.Kind {
	case rpc.ToKey:
		return o.toKey(ctx)
	case rpc.ToPeer:
		return o.toPeer(ctx)
	case rpc.ToAny:
		return o.toAny(ctx)
	}
	return rpc.Errorf(rpc.InvalidArgument, "a call to rpc.%s has many destinations; use Gather", call.Dest.Kind)
}

// checkMetadata refuses what a peer would take for a violation of the protocol.
func checkMetadata(call *rpc.Call) error {
	if n := len(call.Metadata); n > rpc.MaxMetadata {
		return rpc.Errorf(rpc.InvalidArgument, "%s: %d pairs of metadata; want at most %d", call.Spec.Name(), n, rpc.MaxMetadata)
	}
	return nil
}

// dueOf is when a call must have ended: by its context, and by its own
// timeout, else the method's, else the fallback. left is the time until then if
// that is known without reading the clock again, else 0. start is any time in the
// past: to count from it, one clock is read instead of two.
func dueOf(ctx context.Context, call *rpc.Call, fallback time.Duration, start time.Time) (due time.Time, left time.Duration) {
	due, bounded := ctx.Deadline()
	timeout := call.Timeout
	if timeout == 0 && !bounded {
		if timeout = call.Spec.Timeout(); timeout == 0 {
			timeout = fallback
		}
	}
	if timeout != 0 {
		if t := start.Add(time.Since(start) + timeout); !bounded || t.Before(due) {
			return t, timeout
		}
	}
	return due, 0
}

// outgoing is one call on its way, over all its attempts.
type outgoing struct {
	n       *Node
	call    *rpc.Call
	due     time.Time
	left    time.Duration // until due, for the first attempt; 0: look at the clock
	endless bool          // a stream without a deadline: due bounds its opening only
	body    []byte        // the encoded request, once encoded
	encoded bool
	buffer  *[]byte // what body lies in, to be recycled; nil: it is the caller's
	small   []byte  // body as it is sent, if it is compressed
	how     uint8   // its encoding
	attempt int     // sent so far
	pauses  int     // waited so far
	last    error   // why the latest attempt failed
}

// fate is what became of one attempt.
type fate uint8

const (
	done      fate = iota // answered: with a reply, or an error that stands
	unsent                // provably not executed: may be sent again
	redirect              // not executed, and the peer named the owner
	missing               // not executed: the peer serves no such method
	ambiguous             // nobody knows whether it was executed
)

// target is where one attempt goes.
type target struct {
	name        string
	peer        *transport.Peer
	partition   int64
	fingerprint uint64
	hops        int
}

// send makes one attempt at a remote peer. owner is only given with redirect.
func (o *outgoing) send(ctx context.Context, t target) (f fate, owner string, err error) {
	conn, err := o.connect(ctx, t.peer)
	if err != nil {
		return o.failed(ctx, t.name, err)
	}
	if !o.call.Spec.Streams() {
		if err := o.encode(); err != nil {
			return done, "", err
		}
	}
	req := transport.Request{
		Method: o.call.Spec.Name(), Body: o.body, Deadline: o.due, Left: o.left, Into: o.call.Into,
	}
	o.left = 0
	if how := o.call.Spec.Compression(); how != rpc.NoCompression {
		req.Body = o.shrunk(how)
	}
	req.Meta = transport.Meta{
		Partition: t.partition, Fingerprint: t.fingerprint,
		Hops: uint8(t.hops), Attempt: uint8(min(o.attempt, 255)), Encoding: o.how,
		User: pairsOf(o.call.Metadata),
	}
	o.attempt++
	if o.call.Spec.Streams() {
		return o.openAt(ctx, conn, t.name, &req)
	}
	if o.call.OneWay {
		if err := conn.Notify(&req); err != nil {
			return o.failed(ctx, t.name, err)
		}
		return done, "", nil
	}
	reply, err := conn.Call(ctx, &req)
	if err != nil {
		return o.failed(ctx, t.name, err)
	}
	defer reply.Release()
	return o.answered(t.name, reply)
}

// connect gives a connection to p; only a missing one costs a context.
func (o *outgoing) connect(ctx context.Context, p *transport.Peer) (*transport.Conn, error) {
	if c := p.Current(); c != nil {
		return c, nil
	}
	ctx, cancel := context.WithDeadline(ctx, o.due)
	defer cancel()
	return p.Conn(ctx)
}

// answered reads what the peer said.
func (o *outgoing) answered(peer string, reply *transport.Reply) (fate, string, error) {
	if reply.Code == transport.CodeOK {
		v, err := o.n.bodies.decodeReply(o.call, reply)
		if err != nil {
			return done, "", rpc.Errorf(rpc.Internal, "reply of %s by %s: %v", o.call.Spec.Name(), peer, err)
		}
		o.call.Reply = v
		o.call.AnsweredBy(peer)
		return done, "", nil
	}
	e := errorOf(reply)
	executed := reply.Meta.Fingerprint == 0 // else the node itself refused
	if e.Code == rpc.NotOwner && !executed {
		o.n.stats.add(Redirects)
		return redirect, string(reply.Meta.Owner), e
	}
	o.call.AnsweredBy(peer)
	if e.Code == rpc.Unimplemented && !executed {
		return missing, "", e
	}
	return done, "", e
}

// failed classes an attempt that got no answer.
func (o *outgoing) failed(ctx context.Context, peer string, err error) (fate, string, error) {
	switch {
	case ctx.Err() != nil:
		return done, "", o.ended(ctx)
	// Compared, not unwrapped: a dial that timed out is no deadline of ours.
	case !time.Now().Before(o.due) || err == context.DeadlineExceeded:
		return done, "", o.expired(err)
	case tooLarge(err):
		return done, "", rpc.Errorf(rpc.ResourceExhausted,
			"the request of %s (%d bytes) exceeds what %s accepts", o.call.Spec.Name(), len(o.body), peer)
	case transport.IsUnsent(err):
		return unsent, "", fmt.Errorf("%s could not be reached: %w", peer, err)
	}
	return ambiguous, "", fmt.Errorf("the connection to %s broke after the call was sent: %w", peer, err)
}

// tooLarge tells that a request exceeds what the peer takes; what the peer
// itself said about frames is another matter.
func tooLarge(err error) bool {
	var ce *transport.CallError
	return errors.As(err, &ce) && ce.Err == transport.ErrBodyTooLarge
}

// ended is the error of a call whose context ended.
func (o *outgoing) ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return o.expired(o.last)
	}
	return rpc.AsError(ctx.Err())
}

// expired is the error of a call whose deadline passed; cause may be nil.
func (o *outgoing) expired(cause error) error {
	if cause == nil || errors.Is(cause, context.DeadlineExceeded) {
		cause = o.last
	}
	if cause == nil {
		return rpc.Errorf(rpc.DeadlineExceeded, "no answer to %s within the deadline", o.call.Spec.Name())
	}
	return rpc.Errorf(rpc.DeadlineExceeded, "%s did not succeed within the deadline: %v", o.call.Spec.Name(), cause)
}

// unknown is the error of a call that may have been executed and must not be
// sent again.
func (o *outgoing) unknown(err error) error {
	return rpc.Errorf(rpc.Unavailable, "outcome of %s unknown: %v (declare the method idempotent to have it tried again)",
		o.call.Spec.Name(), err)
}

// Bounds of the wait between attempts.
const (
	minRetry = 5 * time.Millisecond
	maxRetry = 250 * time.Millisecond
)

// pause waits before the next attempt: until the view is no longer v, or for a
// jittered, growing while. The error says that the call's time is up.
func (o *outgoing) pause(ctx context.Context, v *view) error {
	o.n.stats.add(Retries)
	most := min(minRetry<<min(o.pauses, 8), maxRetry)
	o.pauses++
	random := rand.New(rand.NewPCG(o.n.cfg.RandSeed, o.n.pauses.Add(1)))
	wait := most/2 + time.Duration(random.Int64N(int64(most/2)+1))
	timer := time.NewTimer(min(wait, time.Until(o.due)))
	defer timer.Stop()
	select {
	case <-v.changed:
	case <-timer.C:
	case <-ctx.Done():
		return o.ended(ctx)
	case <-o.n.ctx.Done():
		return o.stopped()
	}
	if !time.Now().Before(o.due) {
		return o.expired(nil)
	}
	return nil
}

// encode encodes the request once for all attempts. Bytes are sent from where
// they are.
func (o *outgoing) encode() error {
	if o.encoded {
		return nil
	}
	if o.call.Spec.RawRequest() {
		if b, ok := o.call.Req.(*[]byte); ok && b != nil {
			o.body, o.encoded = *b, true
			return nil
		}
	}
	buf := o.n.buffer()
	b, err := o.call.Spec.AppendRequest((*buf)[:0], o.call.Req)
	if err != nil {
		return rpc.Errorf(rpc.InvalidArgument, "request of %s: %v", o.call.Spec.Name(), err)
	}
	*buf = b
	o.body, o.buffer, o.encoded = b, buf, true
	return nil
}

// shrunk gives the encoded request as it is sent, compressed once for all
// attempts.
func (o *outgoing) shrunk(how rpc.Compression) []byte {
	if o.small == nil {
		o.small, _, o.how = o.n.bodies.shrink(nil, o.body, how)
	}
	return o.small
}

func (o *outgoing) release() {
	if o.buffer != nil {
		o.n.recycle(o.buffer)
	}
}

func pairsOf(m rpc.Metadata) []transport.Pair {
	if len(m) == 0 {
		return nil
	}
	pairs := make([]transport.Pair, 0, len(m))
	for k, v := range m {
		pairs = append(pairs, transport.Pair{Key: []byte(k), Value: []byte(v)})
	}
	return pairs
}

// keepBuffer is the largest encoding buffer kept for reuse, in bytes.
const keepBuffer = 64 << 10

// buffer gives an empty buffer to encode into; recycle takes it back.
func (n *Node) buffer() *[]byte {
	if b, ok := n.buffers.Get().(*[]byte); ok {
		return b
	}
	return new([]byte)
}

func (n *Node) recycle(b *[]byte) {
	if cap(*b) <= keepBuffer {
		n.buffers.Put(b)
	}
}
