// Package redo is a log of records that are redone after a crash: what was appended
// is on the disk, and what is damaged is an error that names the file and the offset,
// never a wrong record and never a gap.
//
//	log, found, err := redo.Open(redo.Config{Dir: dir}, func(r redo.Record) error {
//		return state.apply(r) // r.Data is valid until it returns
//	})
//	p, err := log.Append(kindCall, data) // returns when it is on the disk
//	r, err := log.Read(p, nil)
//	...
//	c, err := log.Begin() // a checkpoint: what is added stands for all records so far
//	for _, e := range state.list() {
//		_, err = c.Add(kindCall, e)
//	}
//	err = c.Commit()
//	err = c.Release() // older files
//
// # Records and batches
//
// Those who call Append at the same time share one write and one sync: the first into
// a batch owns it, and commits it once the batch before is done; the others wait. A
// batch ends with a commit, a record of the log's own that says where the batch begins.
// Records count only with their commit: all of a batch, or none.
//
// # Files
//
// log-N.redo are segments, checkpoint-N checkpoints, N in 16 hex digits, and LOCK. All
// numbers are little endian.
//
//	header, 48 bytes: magic "mnredo\x00" or "mnckpt\x00", u8 format version (1),
//	                  u64 id of the log, u64 number, u64 salt,
//	                  i64 offset where the segment before ends (checkpoint: unix ms when begun),
//	                  u32 0, u32 CRC-32C of the 44 bytes before
//	record:           u32 length of the data, u8 kind, data,
//	                  u32 CRC-32C of data, length, kind, u64 salt, u64 offset of the record
//	commit:           a record of kind 0, whose data is u64: where its batch begins;
//	                  at the end of a checkpoint, how many records it has
//
// The salt is drawn anew for each file, and the checksum covers it and the offset: a
// record that was moved, or that is left of what was there before, is not taken for
// one of this place. Records do not span segments. A segment is written from one Open to
// its Close, or less: Open begins a new one, so that no place is given twice (one without
// any batch is begun again, with a new salt).
//
// # Torn ends, and damage
//
// A power failure leaves any part of what was not synced: of a batch that was under way,
// its middle may be missing and its end be there. What was synced is whole; if it is not,
// it is damaged. Both look the same, so the file must show what had been synced:
//
//   - A batch is written when the one before has been synced, and its commit says where it
//     begins. So a right commit shows that all before its batch was synced.
//   - A segment begins, with its header synced, when the one before is synced; its
//     header says where that one ends. So all segments but the last were synced wholly.
//   - While nobody waits to be written, a proof lies behind the last batch: a commit that
//     says where it lies itself, written after the sync. The next batch goes over it.
//     It is synced when the log is closed.
//
// Reading stops at the first record of the last segment that is not right, in a batch that
// begins at S. If anywhere behind, byte by byte, there is a right commit that says more than
// S, that batch had been synced: it is a *CorruptError. Otherwise it was under way when the
// power failed, and was not acknowledged: it is a torn end, which is cut, and told as
// Recovery.Cut. Records of the batch that are whole go with it.
//
// What remains: damage to the very last batch, in the moment between its sync and the
// proof, or if the proof did not get to the disk, or both are damaged, looks like a torn
// end. And if the system loses whole files or the last blocks of the last segment, nothing
// shows that they were there.
//
// A checkpoint that is damaged anywhere is not used at all: Open falls back on the one
// before and the segments since, which are kept for that, and says so.
//
// # Checkpoints
//
// Begin begins a new segment, N, and checkpoint N stands for all records before it. Effects
// of later records may be in it as well, so records must be such that redoing them twice is
// like redoing them once. Records before must all be in it: an Append that returned before
// Begin may not have its effect missing in the list that the checkpoint is made from. Enter
// what is appended into the state before Append is called (if it fails, the log takes
// nothing more, so that no checkpoint is made of it), or keep Begin from running between
// Append and the entry.
//
// # Concurrency
//
// All methods of Log may be called from any number of goroutines. A Checkpoint is used by
// one. One goroutine, which commits lazy records that nobody waits for, runs from Open to
// Close; Close waits for it. No lock is held while anything is written, synced or read.
//
// # Failure
//
// Nothing is acknowledged that was not synced. After a failed write or sync of the log it
// takes nothing more (ErrBroken, with the cause); opening it again finds out what is there.
// The last batch is then written once more before it counts: after a failed sync a system may
// hold it in memory and take it for written. Errors of the disk keep their kind: disk.ErrFull,
// disk.ErrReadOnly, disk.ErrInUse. A file of a later format is ErrNewerFormat, and is left
// alone.
package redo
