package outbox

import (
	"context"
	"fmt"

	"github.com/meshnode/meshnode/internal/ledger"
	"github.com/meshnode/meshnode/rpc"
)

// Tx is the transaction of a handler: what it writes is on the disk together with
// the fact that the call was executed, and moves with its partition to whoever
// owns it next. It is valid until the handler returns, on the handler's goroutine.
//
// A Tx is a rpc.Queue as well: a durable call that is enqueued through it is made
// if, and only if, the transaction is kept.
//
//	Credit.Enqueue(ctx, tx, &CreditRequest{Amount: 5}, rpc.Key("bob"))
type Tx struct {
	tx    *ledger.Tx
	box   *Box
	info  *rpc.Info
	id    string // of the call; empty: an ordinary one
	calls int
}

// Bucket is a part of a partition's state: keys in the order of their bytes, each with
// a value. It has Get, Put, Delete and From.
type Bucket = ledger.Bucket

// Bucket gives a bucket of the state of the partition that the call's key belongs to.
// Keys of different partitions never share one, of one partition they do: their
// names are to tell them apart. A name has 1 to 255 bytes.
func (t *Tx) Bucket(name string) *Bucket { return t.tx.Bucket([]byte(name)) }

// ID is the id of the durable call that the handler serves; empty for an ordinary
// call.
func (t *Tx) ID() string { return t.id }

// Key is the key that the call was sent with: the transaction's state is that of its partition.
func (t *Tx) Key() string { return t.info.Key() }

// Caller is who makes the call: of a durable one whoever enqueued it, as the box that took it
// knew him then, and not the node that delivers it. See rpc.Info.
func (t *Tx) Caller() rpc.Identity { return t.info.Caller }

// Add implements rpc.Queue. The call is the node's own, unless it is enqueued with
// rpc.OnBehalf. Without an id of its own the call gets one made of the
// id of the call that is served, so that it is the same if the handler runs again.
func (t *Tx) Add(_ context.Context, call rpc.DurableCall) (string, error) {
	t.calls++
	if call.ID == "" {
		call.ID = t.childID()
	}
	if err := fit(&call); err != nil {
		return "", err
	}
	r := callRecord{
		hash: hashOf(call.Method, call.Key, call.Body), id: call.ID, key: call.Key, method: call.Method,
		caller: call.For, metadata: call.Metadata, body: call.Body, expires: int64(call.Timeout), // a duration here: the box gives the time
	}
	return call.ID, t.tx.Later(kindCall, r.append(nil))
}

// childID makes the id of the n-th call that a handler enqueues.
func (t *Tx) childID() string {
	if t.id == "" {
		return fmt.Sprintf("%016x-%016x", t.box.randomID(), t.box.randomID())
	}
	return fmt.Sprintf("%s/%d", t.id, t.calls)
}

// Await implements rpc.Queue: a transaction does not wait.
func (t *Tx) Await(context.Context, string) (rpc.Outcome, error) {
	return rpc.Outcome{}, rpc.Errorf(rpc.FailedPrecondition, "a transaction cannot wait for a call that it enqueues; ask the box")
}
