// Package faulty is a file system in memory for tests of what is kept on a disk: it
// injects faults, and gives the state that a power failure may leave.
//
//	fsys := faulty.New()
//	fsys.Inject(func(op faulty.Op) error {
//		if op.Kind == faulty.Sync && op.N == 7 {
//			return syscall.EIO
//		}
//		return nil
//	})
//	... // use it
//	after := fsys.Crash(seed) // what is there after a power failure now
//
// # What a power failure leaves
//
// What was synced is there. Of what was not, each sector of 512 bytes is as it was
// after any of the writes since, by the seed: so writes are torn and come in any order.
// The size of a file is any that it has had since the last sync of the file; what it
// gained is zeros or what was written. Files that were made, renamed or removed since
// the last sync of their folder are where they were or where they are, each by itself.
//
// A sector is written whole or not, and one that is written again does not lose the
// bytes that stay the same: this is what the disk is trusted with.
//
// After a Sync with an injected error, sectors that waited for it count as written, as
// Linux has it: a later Sync does not write them, and a power failure may lose them,
// unless they are written again before.
//
// # Concurrency
//
// All methods may be called from any number of goroutines. The function given to Inject
// is called without a lock, so it may use Crash; it must expect calls side by side.
package faulty
