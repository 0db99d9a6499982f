// Package outbox makes calls durable: once Enqueue has returned, the call will be
// made, and its effect happens once, whatever crashes on either side.
//
//	box, err := outbox.Open(dir, outbox.Config{})   // the calls of this process, and what it has executed
//	err = box.Start(n)                              // before n.Start
//
//	outbox.Handle(box, n, Deposit, func(ctx context.Context, tx *outbox.Tx, req *DepositRequest) (*DepositReply, error) {
//		accounts := tx.Bucket("accounts") // of bbolt; on the disk together with the fact that the call was executed
//		...
//	})
//
//	id, err := Deposit.Enqueue(ctx, box, &DepositRequest{Amount: 5}, rpc.Key("alice"), outbox.ID("order-17"))
//	reply, err := Deposit.Await(ctx, box, id) // if anybody wants to know
//
// # The sender
//
// A call is written to a redo log before Enqueue returns; many callers share one
// fsync. It is delivered to the owner of its key, and tried again, with pauses that
// double, over crashes, restarts and changes of ownership until it was executed, is
// refused for good, expires, or is cancelled. The latter three make it a dead letter,
// which is kept until Retry or Drop. Calls of one key are made in the order of their taking, keys
// side by side; a dead letter does not hold up those behind it. Checkpoints bound the
// log and the time to recover.
//
// # The receiver
//
// Handle's methods run in a transaction, together with the fact that the call was
// executed and its reply; a call that comes again gets that reply. The state belongs
// to the partition of the call's key, and moves with it: the new owner fetches it
// from the old one before it serves the partition. A partition is held by one node at
// most. While its holder is down its calls wait, unless Config.Orphans says otherwise.
//
// Handlers behind Guard have effects of their own: duplicates are suppressed, but a
// process that dies between the effect and the note of it runs the call again.
//
// # Failures
//
// Errors of Enqueue are *rpc.Error; a call for which one was returned was not taken,
// unless its code is Unavailable because a write failed: then it may be there when
// the box is opened again. Damaged files are ErrCorrupt, with name and offset; only
// a torn end of the log, which no caller was told of, is cut.
//
// A call that kills the process of the node that executes it (a stack overflow, os.Exit)
// is found out by a file that names the calls under way; after Config.MaxCrashes it is
// a dead letter.
//
// # Concurrency
//
// A Box is safe for concurrent use. One process at a time has a directory open.
package outbox
