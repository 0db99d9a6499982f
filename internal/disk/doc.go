// Package disk is the part of the file system that a log needs, behind an
// interface, so that tests can put faults and power failures under it
// (internal/disk/faulty), and with errors that mean the same on all systems.
//
//	fsys := disk.System()
//	f, err := fsys.Open(filepath.Join(dir, "a"), os.O_RDWR|os.O_CREATE)
//	_, err = f.WriteAt(data, 0)
//	err = f.Sync()          // the bytes, and the size
//	err = fsys.SyncDir(dir) // the name
//
// What was written is on the disk once Sync has returned without an error, and a
// file's name once SyncDir of its folder has. Before, a power failure may leave
// any part of it.
//
// # Concurrency
//
// An FS may be used from any number of goroutines. So may a File, for reads and for
// writes that do not overlap; Close only when nothing else is under way.
//
// # Failure
//
// Errors wrap those of the operating system, and one of ErrFull, ErrReadOnly and
// ErrInUse where that is the kind. After an error of Sync it is not known what is on
// the disk, and a later Sync without an error says nothing about what was written
// before: some systems report a failed write once and forget it. Whoever needs the
// bytes writes them again.
//
// On Windows folders cannot be synced: SyncDir does nothing there, and new names
// last because NTFS has a journal of them.
package disk
