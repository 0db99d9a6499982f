package redo

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/meshnode/meshnode/internal/disk"
	"github.com/meshnode/meshnode/internal/disk/faulty"
)

func TestNames(t *testing.T) {
	for _, file := range []uint64{1, 0xab, 1<<63 - 1, 1 | checkpointBit, 0xfeed | checkpointBit} {
		if got, ok := parseName(baseName(file)); got != file || !ok {
			t.Errorf("%#x: %q is %#x, %v", file, baseName(file), got, ok)
		}
	}
	for _, name := range []string{
		"", "LOCK", "log-", "log-1.redo", "log-0000000000000000.redo", "log-ffffffffffffffff.redo", "checkpoint-0000000000000001.tmp",
		"checkpoint-0000000000000001.redo", "log-0000000000000001", "log-00000000000000AB.redo", "log-0000000000000001.redo.redo",
	} {
		if file, ok := parseName(name); ok {
			t.Errorf("%q is %#x", name, file)
		}
	}
}

// TestNewerFormat has a file of a later format: it is named, and nothing is changed.
func TestNewerFormat(t *testing.T) {
	fsys, _ := smallLog(t)
	names := fsys.Names(labDir)
	for _, name := range []string{names[1], names[len(names)-1]} { // the newest checkpoint, the last segment
		newer := fsys.Kill()
		b := newer.Get(name)
		b[7] = formatVersion + 1
		newer.Put(name, b)
		_, err := open(labConfig(newer))
		var format *NewerFormatError
		if !errors.As(err, &format) || format.File != name || format.Version != formatVersion+1 || !errors.Is(err, ErrNewerFormat) {
			t.Errorf("%s: %v", name, err)
		}
		if string(newer.Get(name)) != string(b) {
			t.Errorf("%s was changed", name)
		}
	}
}

// TestForeign has a segment of another log among those of this one.
func TestForeign(t *testing.T) {
	fsys, _ := smallLog(t)
	other, _ := smallLog(t)
	names := fsys.Names(labDir)
	name := names[len(names)-1]
	fsys.Put(name, other.Get(name))
	_, err := open(labConfig(fsys))
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) || corrupt.File != name {
		t.Errorf("%v", err)
	}
}

// TestFallback damages the newest checkpoint, and then both.
func TestFallback(t *testing.T) {
	fsys, a := smallLog(t)
	checkpoints := fsys.Names(labDir)[:2]
	for i, name := range []string{checkpoints[1], checkpoints[0]} {
		fsys.Flip(name, 60, 1)
		again := fsys.Kill()
		s := a.story.clone()
		o, err := open(labConfig(again))
		if err == nil {
			err = s.check(o)
		}
		if err != nil {
			t.Fatal(err)
		}
		if !o.found.Fallback || !errors.Is(o.found.Damage, ErrCorrupt) || !strings.Contains(o.found.Damage.Error(), checkpoints[1]) {
			t.Errorf("%+v", o.found)
		}
		if i == 1 && o.found.Checkpoint != 0 {
			t.Errorf("both are damaged: %+v", o.found)
		}
		c, err := o.Begin()
		if err == nil {
			err = errors.Join(c.Commit(), c.Release())
		}
		if err == nil {
			err = o.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(strings.Join(again.Names(labDir), " "), filepath.Base(checkpoints[1])) {
			t.Errorf("the damaged checkpoint was not released: %v", again.Names(labDir))
		}
	}
	oldest := fsys.Kill()
	oldest.Put(pathOf(labDir, 1), nil)
	if _, err := open(labConfig(oldest)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("without anything to fall back on: %v", err)
	}
}

func TestInUse(t *testing.T) {
	fsys, _ := smallLog(t)
	o, err := open(labConfig(fsys))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	var inUse *disk.InUseError
	if _, err := open(labConfig(fsys)); !errors.As(err, &inUse) || inUse.PID == 0 {
		t.Errorf("opened twice: %v", err)
	}
}

// TestReadOnly inspects a log that is in use, whose end is torn for who looks now.
func TestReadOnly(t *testing.T) {
	fsys, a := newDisk(t), newActor(1)
	if err := a.reopen(fsys); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := a.give(false); err != nil {
			t.Fatal(err)
		}
	}
	fsys.Inject(func(op faulty.Op) error {
		switch op.Kind {
		case faulty.Open, faulty.Read, faulty.List:
			return nil
		}
		t.Errorf("changes something: %v", op)
		return nil
	})
	cfg := labConfig(fsys)
	cfg.ReadOnly = true
	s := a.story.clone()
	o, err := open(cfg)
	if err == nil {
		err = s.check(o)
	}
	if err != nil {
		t.Fatal(err)
	}
	if o.found.End != a.log.Stats().End || o.found.Cut != 0 {
		t.Errorf("%+v, the log is at %v", o.found, a.log.Stats().End)
	}
	_, err = o.Append(1, nil)
	_, begin := o.Begin()
	if err != ErrReadOnly || o.Lazy(1, nil) != ErrReadOnly || begin != ErrReadOnly {
		t.Errorf("%v, %v", err, begin)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	fsys.Inject(nil)
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
}

// TestUnwritable opens a log where it cannot write: each error has its kind.
func TestUnwritable(t *testing.T) {
	for _, c := range []struct {
		name string
		kind faulty.Kind
		err  error
		want error
	}{
		{"the folder cannot be made", faulty.MkdirAll, syscall.EACCES, disk.ErrReadOnly},
		{"the lock cannot be made", faulty.Lock, syscall.EROFS, disk.ErrReadOnly},
		{"no segment can be made", faulty.Open, syscall.EPERM, disk.ErrReadOnly},
		{"the disk is full", faulty.Write, syscall.ENOSPC, disk.ErrFull},
		{"the folder cannot be read", faulty.List, syscall.EACCES, fs.ErrPermission},
	} {
		fsys := newDisk(t)
		fsys.Inject(func(op faulty.Op) error {
			if op.Kind == c.kind {
				return c.err
			}
			return nil
		})
		if _, err := open(labConfig(fsys)); !errors.Is(err, c.want) || !errors.Is(err, c.err) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
