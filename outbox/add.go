package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meshnode/meshnode/internal/disk"
	"github.com/meshnode/meshnode/internal/redo"
	"github.com/meshnode/meshnode/rpc"
)

// ID names a durable call; it is rpc.ID.
func ID(id string) rpc.CallOption { return rpc.ID(id) }

// Add implements rpc.Queue: it returns once the call is on the disk. Many callers
// share one fsync. A call whose record could not be written is not taken; after
// such an error the box takes none until it is opened again. ctx is looked at
// before the writing only.
func (b *Box) Add(ctx context.Context, call rpc.DurableCall) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", refused(&call, err)
	}
	if err := fit(&call); err != nil {
		return "", refused(&call, err)
	}
	h := hashOf(call.Method, call.Key, call.Body)
	for {
		e, known, err := b.reserve(&call, h)
		switch {
		case err != nil:
			return "", refused(&call, err)
		case known == nil:
			return e.id, b.write(e, &call)
		}
		select { // somebody writes it just now
		case <-known:
		case <-ctx.Done():
			return "", rpc.AsError(ctx.Err())
		}
	}
}

// refused is the error of a call that was not taken now. One with an id of its own may have been
// taken before, unless no such call can be.
func refused(call *rpc.DurableCall, err error) *rpc.Error {
	e := rpc.AsError(err)
	return e.MarkNotExecuted(call.ID == "" || e.Code == rpc.InvalidArgument)
}

// maxMetadata is how many bytes of metadata a durable call may carry: a header of 64
// KiB has other things in it.
const maxMetadata = 48 << 10

// maxCaller is the longest name, in bytes, of somebody for whom a call is taken.
const maxCaller = 1 << 10

// fit makes sure that a call can be made: what never can be is refused at once, to
// whoever still can do something about it.
func fit(call *rpc.DurableCall) error {
	if _, err := rpc.Untyped(call.Method); err != nil {
		return err
	}
	if call.Key == "" {
		return rpc.Errorf(rpc.InvalidArgument, "a durable call has a key, whose owner executes it")
	}
	if len(call.Key) > rpc.MaxKey {
		return rpc.Errorf(rpc.InvalidArgument, "a key of %d bytes; want at most %d", len(call.Key), rpc.MaxKey)
	}
	if call.For != nil && len(call.For.Name) > maxCaller {
		return rpc.Errorf(rpc.InvalidArgument, "the name of a caller has %d bytes; want at most %d", len(call.For.Name), maxCaller)
	}
	if len(call.ID) > rpc.MaxID {
		return rpc.Errorf(rpc.InvalidArgument, "an id of %d bytes; want at most %d", len(call.ID), rpc.MaxID)
	}
	size := 0
	for k, v := range call.Metadata {
		size += len(k) + len(v)
	}
	if n := len(call.Metadata); n >= rpc.MaxMetadata || size > maxMetadata { // the box adds its own
		return rpc.Errorf(rpc.InvalidArgument, "metadata of %d pairs and %d bytes; want at most %d and %d", n, size, rpc.MaxMetadata-1, maxMetadata)
	}
	if _, taken := call.Metadata[headerKey]; taken {
		return rpc.Errorf(rpc.InvalidArgument, "the metadata %s is the outbox's own", headerKey)
	}
	return nil
}

// reserve takes an id. If somebody is writing a call of that id it gives what is
// closed when that is over; a call that is there already is given as errKnown.
func (b *Box) reserve(call *rpc.DurableCall, h hash) (e *entry, busy <-chan struct{}, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.writableLocked(); err != nil {
		return nil, nil, err
	}
	if old := b.index[call.ID]; old != nil && call.ID != "" {
		switch {
		case old.hash != h:
			return nil, nil, rpc.Errorf(rpc.FailedPrecondition, "the id %s is that of a call with another method, key or request", call.ID)
		case old.status == writing:
			return nil, old.waitLocked(), nil
		}
		return old, nil, nil
	}
	if b.pendingCalls >= b.cfg.MaxPending {
		return nil, nil, rpc.Errorf(rpc.ResourceExhausted, "%d durable calls are pending, as many as the box may hold", b.pendingCalls)
	}
	now := time.Now()
	timeout := call.Timeout
	if timeout <= 0 {
		timeout = b.cfg.Expire
	}
	e = &entry{
		seq: b.next, id: call.ID, key: call.Key, method: call.Method, hash: h,
		enqueued: now.UnixMilli(), expires: now.Add(timeout).UnixMilli(),
	}
	b.next++
	if e.id == "" {
		e.id = fmt.Sprintf("%016x-%d", b.box, e.seq)
	}
	b.index[e.id] = e
	return e, nil, nil
}

// write makes a call durable that reserve gave, and has it made.
func (b *Box) write(e *entry, call *rpc.DurableCall) error {
	b.mu.Lock()
	fresh := e.status == writing
	b.mu.Unlock()
	if !fresh {
		return nil // known, and on the disk
	}
	r := callRecord{
		seq: e.seq, enqueued: e.enqueued, expires: e.expires, hash: e.hash,
		id: e.id, key: e.key, method: e.method, caller: call.For, metadata: call.Metadata, body: call.Body,
	}
	data := r.append(make([]byte, 0, 64+len(e.id)+len(e.key)+len(e.method)+len(call.Body)))
	b.writes.RLock()
	defer b.writes.RUnlock()
	pos, err := b.log.Append(kindCall, data)
	b.mu.Lock()
	defer b.mu.Unlock()
	defer e.settleLocked()
	if err != nil {
		delete(b.index, e.id)
		if errors.Is(err, ErrBroken) {
			b.failLocked(err)
		}
		return refusal(err)
	}
	b.logged += int64(len(data))
	b.counts.Enqueued++
	e.pos, e.status = pos, pending
	b.pushLocked(e)
	return nil
}

// refusal is the error of a call that could not be written.
func refusal(err error) *rpc.Error {
	code := rpc.Unavailable
	switch {
	case errors.Is(err, disk.ErrFull):
		code = rpc.ResourceExhausted
	case errors.Is(err, redo.ErrTooLarge):
		code = rpc.InvalidArgument
	}
	return &rpc.Error{Code: code, Message: err.Error()}
}
