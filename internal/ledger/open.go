package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"

	"github.com/meshnode/meshnode/internal/disk"
)

// boltWait is for a lock that is ours already; bbolt's own comes on top.
const boltWait = time.Second

// Open opens the ledger in the file at path, and makes it if there is none; its folder must exist. A file beside it,
// with ".lock" added to the name, shows that it is in use.
//
// Unless Config.Unchecked is set the whole file is read and checked first. Errors: ErrInUse, ErrCorrupt (a
// *CorruptError), ErrNewerFormat, ErrFull, ErrReadOnly, or what the system says.
func Open(path string, cfg Config) (*Ledger, error) {
	if cfg.Retention == 0 {
		cfg.Retention = DefaultRetention
	}
	if cfg.MaxBatch <= 0 {
		cfg.MaxBatch = DefaultMaxBatch
	}
	lock, err := disk.System().Lock(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	l := &Ledger{
		path: path, cfg: cfg, lock: lock, follow: make(chan struct{}, 1),
		wake: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	if err := l.open(); err != nil {
		return nil, errors.Join(classify(err), lock.Close())
	}
	go l.loop()
	return l, nil
}

func (l *Ledger) open() error {
	fresh, err := l.check()
	if err != nil {
		return err
	}
	if err := guard(l.openBolt); err != nil {
		return err
	}
	if fresh {
		err = l.create()
	}
	if err == nil {
		err = l.load()
	}
	if err != nil {
		return errors.Join(err, l.db.Close())
	}
	return nil
}

// check reads the file before bbolt gets to see it. It reports whether nothing was ever committed to it.
func (l *Ledger) check() (fresh bool, err error) {
	f, err := os.Open(l.path)
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	if unborn(f, info.Size()) {
		return true, os.Truncate(l.path, 0)
	}
	if l.cfg.Unchecked {
		l.accused.Store(true) // for all that is known
		return false, nil
	}
	c := &checkEntry{}
	_, err = verify(f, info.Size(), c.visit)
	l.accused.Store(c.accused)
	switch {
	case errors.Is(err, ErrNewerFormat):
		return false, fmt.Errorf("%s: %w", l.path, err)
	case err != nil:
		return false, l.corrupt(err)
	}
	return c.entries == 0, nil
}

// corrupt makes the error that names the file from one of verify.
func (l *Ledger) corrupt(err error) error {
	out := &CorruptError{Path: l.path, Page: -1, Why: err.Error()}
	var at *pageError
	if errors.As(err, &at) {
		out.Page, out.Why = int64(at.page), at.why
	}
	return out
}

func (l *Ledger) openBolt() error {
	var file *os.File
	db, err := bbolt.Open(l.path, 0o600, &bbolt.Options{
		Timeout: boltWait, FreelistType: bbolt.FreelistMapType, MaxSize: int(l.cfg.MaxBytes), NoStatistics: true,
		OpenFile: func(name string, flag int, perm os.FileMode) (_ *os.File, err error) {
			file, err = os.OpenFile(name, flag, perm)
			return file, err
		},
	})
	if err != nil {
		return fmt.Errorf("%s: %w", l.path, err)
	}
	l.db, l.file = db, file.Close
	return nil
}

// create writes the empty buckets and the format, and makes sure that the folder knows the file.
func (l *Ledger) create() error {
	err := l.db.Update(func(btx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketFormat, bucketFollow, bucketHoldings, bucketParts, bucketStages, bucketNotes} {
			if _, err := btx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		version := binary.LittleEndian.AppendUint32(nil, format)
		return btx.Bucket(bucketFormat).Put(keyVersion, seal(bucketFormat, noPartition, keyVersion, version))
	})
	if err != nil {
		return err
	}
	return disk.System().SyncDir(filepath.Dir(l.path))
}

// guard runs fn, which uses bbolt, and turns into ErrCorrupt what a damaged file can make of it: a panic, or an access
// to memory where no file is.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: bbolt panicked: %v", ErrCorrupt, r)
		}
	}()
	return fn()
}
