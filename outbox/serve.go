package outbox

import (
	"context"
	"errors"

	"github.com/meshnode/meshnode/internal/ledger"
	"github.com/meshnode/meshnode/rpc"
)

// Handle serves a method with a transaction of the box: what fn writes through tx,
// and that the call was executed, are on the disk together or not at all, so a
// durable call takes effect once, however often it arrives. Ordinary calls of the
// method run in a transaction as well, once for each that arrives.
//
// Calls come one after the other, many to one fsync: fn must be quick, and must not
// wait for anything. An error of fn undoes what it wrote.
// Handle panics if r already serves the method. Calls must have a key.
func Handle[Req, Reply any](b *Box, r rpc.Registrar, m rpc.Method[Req, Reply], fn func(ctx context.Context, tx *Tx, req *Req) (*Reply, error)) {
	spec := m.Spec()
	err := r.Register(&rpc.Handler{Spec: spec, Serve: func(ctx context.Context, req any) (any, error) {
		var latest *Reply
		encoded, dup, err := b.execute(ctx, func(tx *Tx) ([]byte, error) {
			reply, err := fn(ctx, tx, req.(*Req))
			if err != nil {
				return nil, rpc.AsError(err) // here, where its methods may panic
			}
			if reply == nil {
				reply = new(Reply)
			}
			latest = reply
			return spec.AppendReply(nil, reply)
		})
		if err != nil {
			return nil, err
		}
		if dup || latest == nil {
			return spec.DecodeReply(encoded)
		}
		return latest, nil
	}})
	if err != nil {
		panic(err)
	}
}

// execute runs a call in a transaction of the ledger, or finds that it was run.
func (b *Box) execute(ctx context.Context, run func(*Tx) ([]byte, error)) (reply []byte, dup bool, err error) {
	call, err := b.callOf(ctx)
	if err != nil {
		return nil, false, err
	}
	if _, held := b.ledger.Holds(call.Partition); !held {
		if k := b.keeper.Load(); k != nil {
			k.waitHeld(ctx, call.Partition)
		}
	}
	info, _ := rpc.InfoFrom(ctx)
	if call.ID != "" {
		reply, dup, err = b.executeOnce(ctx, call, info, run)
	} else {
		in := func(t *ledger.Tx) ([]byte, error) { return run(&Tx{tx: t, box: b, info: info}) }
		reply, err = b.ledger.Update(ctx, call.Partition, in)
	}
	switch {
	case err != nil:
		return nil, false, b.served(err)
	case dup:
		b.count(func(c *Counts) { c.Duplicates++ })
	default:
		b.count(func(c *Counts) { c.Executed++ })
	}
	return reply, dup, nil
}

// executeOnce runs a durable call in a transaction of the ledger, or finds that it was
// run.
func (b *Box) executeOnce(ctx context.Context, call ledger.Call, info *rpc.Info, run func(*Tx) ([]byte, error)) (reply []byte, dup bool, err error) {
	release, err := b.suspect(ctx, call)
	if err != nil {
		return nil, false, err
	}
	defer func() { release(err) }()
	return b.ledger.Do(ctx, call, func(t *ledger.Tx) ([]byte, error) {
		defer b.running.file.end(b.running.file.begin(call))
		return run(&Tx{tx: t, box: b, info: info, id: call.ID})
	})
}

// callOf gives what the ledger must know of the call that a handler serves.
func (b *Box) callOf(ctx context.Context) (ledger.Call, error) {
	info, ok := rpc.InfoFrom(ctx)
	if !ok || !info.Keyed {
		return ledger.Call{}, rpc.Errorf(rpc.InvalidArgument, "this method keeps state by keys: call it with rpc.Key")
	}
	h, durable, err := headerOf(info)
	if err != nil {
		b.count(func(c *Counts) { c.BadHeaders++ })
		return ledger.Call{}, err
	}
	call := ledger.Call{Partition: info.Partition}
	if durable {
		call.ID, call.Hash, call.Expires = h.id, h.hash, h.expires
	}
	return call, nil
}

// served gives the error that a caller sees. What the ledger refuses is not
// executed, and most of it passes by itself.
func (b *Box) served(err error) error {
	var panicked *ledger.PanicError
	switch {
	case errors.As(err, &panicked):
		b.cfg.Logger.Error().Any("panic", panicked.Value).Bytes("stack", panicked.Stack).Msg("a handler panicked; what it wrote is undone")
		return rpc.Errorf(rpc.Internal, "the handler panicked")
	case errors.Is(err, ledger.ErrExited):
		b.cfg.Logger.Error().Msg("a handler called runtime.Goexit; what it wrote is undone")
		return rpc.Errorf(rpc.Internal, "the handler ended its goroutine (runtime.Goexit)")
	case errors.Is(err, ledger.ErrNotHeld):
		b.count(func(c *Counts) { c.NotHeld++ })
		return b.notHeld(err)
	case errors.Is(err, ledger.ErrOtherArguments):
		return rpc.Errorf(rpc.FailedPrecondition, "%v", err)
	case errors.Is(err, ledger.ErrExpired):
		return rpc.Errorf(rpc.DeadlineExceeded, "%v", err)
	case errors.Is(err, ledger.ErrFull), errors.Is(err, ledger.ErrBroken), errors.Is(err, ledger.ErrClosed):
		return rpc.Errorf(rpc.Unavailable, "%v", err)
	}
	return err
}

// notHeld is the error of a call whose partition's state is not here.
func (b *Box) notHeld(err error) error {
	var at *ledger.NotHeldError
	k := b.keeper.Load()
	if k == nil || !errors.As(err, &at) {
		return rpc.Errorf(rpc.Unavailable, "the box of the node that was called has not been started, or is closed: %v", err)
	}
	return rpc.Errorf(rpc.Unavailable, "node %s owns partition %d, and its state is not there yet: %s",
		k.n.Name(), at.Partition, k.whoHolds(at.Partition))
}

// Guard gives a registrar whose handlers see a durable call once more only if the
// process died while they ran: their effects are their own, so an effect that was
// made just before a crash may be made again. Replies are remembered as with
// Handle. Ordinary calls pass.
//
//	Hello.Handle(box.Guard(n), func(ctx context.Context, req *HelloRequest) (*HelloReply, error) { ... })
func (b *Box) Guard(r rpc.Registrar) rpc.Registrar { return &guard{b: b, to: r} }

type guard struct {
	b  *Box
	to rpc.Registrar
}

// Register implements rpc.Registrar.
func (g *guard) Register(h *rpc.Handler) error {
	if h.Spec.Streams() {
		return rpc.Errorf(rpc.InvalidArgument, "%s is a stream; durable calls are none", h.Spec.Name())
	}
	guarded := *h
	guarded.Serve = func(ctx context.Context, req any) (any, error) {
		info, ok := rpc.InfoFrom(ctx)
		if !ok || info.Metadata[headerKey] == "" {
			return h.Serve(ctx, req)
		}
		return g.b.once(ctx, h, req)
	}
	return g.to.Register(&guarded)
}

// once runs a handler without a transaction, remembers its reply, and gives that to
// duplicates. Those that come while it runs wait for it.
func (b *Box) once(ctx context.Context, h *rpc.Handler, req any) (any, error) {
	call, err := b.callOf(ctx)
	if err != nil {
		return nil, err
	}
	release, err := b.running.enter(ctx, running{call.Partition, call.ID})
	if err != nil {
		return nil, rpc.AsError(err)
	}
	defer release()
	encoded, known, err := b.ledger.Find(call)
	if err != nil {
		return nil, b.served(err)
	}
	if known {
		b.count(func(c *Counts) { c.Duplicates++ })
		return h.Spec.DecodeReply(encoded)
	}
	return b.onceMore(ctx, h, call, req)
}

// errUnended is of a handler that has not returned.
var errUnended = rpc.Errorf(rpc.Internal, "the handler did not return")

// onceMore runs a handler without a transaction for a call that is not known to have
// been executed, and remembers its reply.
func (b *Box) onceMore(ctx context.Context, h *rpc.Handler, call ledger.Call, req any) (reply any, err error) {
	release, err := b.suspect(ctx, call)
	if err != nil {
		return nil, err
	}
	err = errUnended // stays if the handler panics, or ends its goroutine
	defer func() { release(err) }()
	defer b.running.file.end(b.running.file.begin(call))
	if reply, err = h.Serve(ctx, req); err != nil {
		return nil, rpc.AsError(err) // here, where its methods may panic
	}
	_, _, err = b.ledger.Do(ctx, call, func(*ledger.Tx) ([]byte, error) { return h.Spec.AppendReply(nil, reply) })
	if err != nil {
		return nil, b.served(err)
	}
	b.count(func(c *Counts) { c.Executed++ })
	return reply, nil
}
