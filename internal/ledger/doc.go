// Package ledger is the durable state of the receiver of durable calls, in one file: which partitions this node holds,
// and for each of them the application's state and the outcomes of the calls that made it what it is.
//
//	l, err := ledger.Open("/var/lib/app/ledger", ledger.Config{})
//	err = l.Claim(ctx, []uint32{7}, 1)
//	reply, dup, err := l.Do(ctx, ledger.Call{Partition: 7, ID: "t-1", Hash: h, Expires: at}, func(tx *ledger.Tx) ([]byte, error) {
//		accounts := tx.Bucket([]byte("accounts"))
//		return []byte("ok"), accounts.Put([]byte("alice"), []byte("90"))
//	})
//
// # What is promised
//
// The effect of a call on the application's state, its outcome and its follow-ups are one transaction. So a call whose
// sender heard nothing can be sent again, for as long as it has not expired, and its effect is there once. Outcomes are
// forgotten some time after their calls have expired (Config.Retention); a call that could be one of those forgotten is
// refused as expired, on whatever node and whatever the clocks say.
//
// # Handover
//
// A partition is held by at most one ledger. It moves with all it has, by steps that may each be repeated and survive
// the crash of both sides:
//
//	giver                                  taker
//	Give(p, taker): no more calls, epoch e
//	Export, chunk after chunk       ───►   Import(p, e, chunk); with the last one it is held
//	Given(p, e): the copy goes      ◄───
//
// If the taker can't be reached the giver waits: it cannot know. If the taker answers that it won't, by Refuse(p, e),
// which binds it for good, the giver takes the partition back with Reclaim(p, e). Epochs grow with each of these steps,
// and the higher one always counts.
//
// # The file
//
// It is a file of bbolt, in which every value ends in a CRC-32C of itself, its key and where it belongs. bbolt's pages
// have no checksum, and it trusts them: a flipped bit can crash the process, or hide a key. Hence Open reads the file and
// checks that its pages form the trees that bbolt makes, without a gap or a page left over (verify.go). Damage that
// happens while the file is open is found by the checksums of values, or as a panic of bbolt, which becomes ErrCorrupt;
// a page that is damaged just so that bbolt doesn't notice can hide a key until the file is next opened. A disk that
// answers a sync and keeps an older, whole version of a page is not found out.
//
// The format has a number. A file of a newer one is refused, with nothing touched.
//
// # Concurrency
//
// All methods may be called from any number of goroutines. One goroutine, the committer, writes: it takes whatever
// waits, has it run in one transaction, one after the other, commits, and then answers. The runs are on a goroutine that
// lives as long as the transaction's runs, so that one of them may end it. A run that fails is undone alone.
// View, Export, NextFollow and Arrived read beside it; Where, Holds and Held don't touch the file. Close ends the
// committer and waits for it.
//
// # Failures
//
// Nothing is acknowledged that is not on disk. If a commit finds no room, its calls get ErrFull and the ledger goes on;
// after any other failed write or sync everything gets ErrBroken until the file is opened again, because what the disk
// has is unknown. A transaction that was under way when the process or the machine stopped is either wholly there or not at
// all.
package ledger
