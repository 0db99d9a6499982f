package redo

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/meshnode/meshnode/internal/disk"
	"github.com/meshnode/meshnode/internal/disk/faulty"
)

// run opens a log, does some steps, and closes it, three times over.
func (a *actor) run(fsys *faulty.FS, steps int) error {
	for range 3 {
		if err := a.reopen(fsys); err != nil {
			return err
		}
		for range steps {
			if err := a.step(); err != nil {
				return errors.Join(err, a.log.Close())
			}
		}
		if err := a.close(); err != nil {
			return err
		}
	}
	return nil
}

// image is what may be there after a failure, and the story until then.
type image struct {
	fsys *faulty.FS
	*story
	what string
}

// film runs a story, and takes images before each operation that changes something.
func film(t *testing.T, seed uint64, steps, each int) (images []image) {
	t.Helper()
	fsys, a := newDisk(t), newActor(seed)
	take := func(op faulty.Op) error {
		switch op.Kind {
		case faulty.Read, faulty.List, faulty.MkdirAll, faulty.Lock:
			return nil
		}
		for i := range each {
			s := uint64(op.N*each + i)
			images = append(images, image{fsys.Crash(s), a.clone(), fmt.Sprintf("seed %d, before %v, power failure %d", seed, op, s)})
		}
		images = append(images, image{fsys.Kill(), a.clone(), fmt.Sprintf("seed %d, before %v, killed", seed, op)})
		return nil
	}
	fsys.Inject(take)
	if err := a.run(fsys, steps); err != nil {
		t.Fatal(err)
	}
	return images
}

// TestPowerFailure cuts the power at every write, sync and change of names of some
// runs, in several ways each: what is found is a prefix of what was given to the log, and
// holds all that was acknowledged. Then the log goes on, and the power fails again.
func TestPowerFailure(t *testing.T) {
	seeds, each := 6, 4
	if testing.Short() {
		seeds = 2
	}
	images, cut := 0, 0
	for seed := range uint64(seeds) {
		for i, m := range film(t, seed, 25, each) {
			images++
			a := &actor{story: m.story, random: newActor(seed + 100).random, next: 1000}
			o, err := open(labConfig(m.fsys))
			if err == nil {
				err = a.story.check(o)
				a.log, a.acked = o.Log, len(a.events)
			}
			if err != nil {
				t.Fatalf("%s: %v", m.what, err)
			}
			if o.found.Cut > 0 {
				cut++
			}
			for range 3 {
				if err := a.give(false); err != nil {
					t.Fatal(err)
				}
			}
			again := m.fsys.Crash(uint64(i))
			if err := a.close(); err != nil {
				t.Fatal(err)
			}
			if err := a.reopen(again); err != nil {
				t.Fatalf("%s, went on, and power failure %d: %v", m.what, i, err)
			}
			if err := a.close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d states, %d with a torn end", images, cut)
	if cut < images/20 {
		t.Errorf("of %d states, only %d had a torn end: the failures are too mild", images, cut)
	}
}

// TestPowerFailureInRecovery cuts the power while the log is opened after a power
// failure, at each operation.
func TestPowerFailureInRecovery(t *testing.T) {
	for i, m := range film(t, 3, 12, 2) {
		var images []image
		m.fsys.Inject(func(op faulty.Op) error {
			images = append(images, image{m.fsys.Crash(uint64(i + op.N)), m.story.clone(), fmt.Sprintf("%s, and %v", m.what, op)})
			return nil
		})
		o, err := open(labConfig(m.fsys))
		if err != nil {
			t.Fatalf("%s: %v", m.what, err)
		}
		m.fsys.Inject(nil)
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		for _, second := range images {
			a := &actor{story: second.story}
			if err := a.reopen(second.fsys); err != nil {
				t.Fatalf("%s: %v", second.what, err)
			}
			if err := a.close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// faultCase is a way in which operations of a kind fail.
type faultCase struct {
	name  string
	kind  faulty.Kind
	err   error
	class error // that the error must have; nil: any
}

func faultCases() []faultCase {
	return []faultCase{
		{"EIO on write", faulty.Write, syscall.EIO, nil},
		{"EIO in a write", faulty.Write, &faulty.Short{Bytes: 600, Err: syscall.EIO}, nil},
		{"disk full", faulty.Write, &faulty.Short{Bytes: 40, Err: syscall.ENOSPC}, disk.ErrFull},
		{"disk full at once", faulty.Write, syscall.ENOSPC, disk.ErrFull},
		{"EIO on sync", faulty.Sync, syscall.EIO, nil},
		{"EIO on the sync of a folder", faulty.SyncDir, syscall.EIO, nil},
		{"no new files", faulty.Open, syscall.EROFS, disk.ErrReadOnly},
		{"EIO on rename", faulty.Rename, syscall.EIO, nil},
		{"EIO on truncate", faulty.Truncate, syscall.EIO, nil},
		{"EIO on remove", faulty.Remove, syscall.EIO, nil},
	}
}

// TestFaults has each operation of a run fail once, in many ways. The error comes with
// its kind; from a failed write or sync of the log on it takes nothing more; what was
// acknowledged is there when it is opened again, and after a power failure later.
func TestFaults(t *testing.T) {
	for _, c := range faultCases() {
		t.Run(c.name, func(t *testing.T) {
			failed := 0
			for at := 1; ; at++ {
				if !c.failAt(t, at) {
					break
				}
				failed++
			}
			if failed < 1 {
				t.Fatalf("failed %d times: not what was meant", failed)
			}
		})
	}
}

// failAt has the at-th operation of the kind fail. False: there are not so many.
func (c faultCase) failAt(t *testing.T, at int) bool {
	fsys, a := newDisk(t), newActor(uint64(at))
	count := 0
	fsys.Inject(func(op faulty.Op) error {
		if op.Kind != c.kind {
			return nil
		}
		if count++; count != at {
			return nil
		}
		return c.err
	})
	err := a.run(fsys, 10)
	if count < at {
		return false
	}
	var sys syscall.Errno
	if err != nil && !errors.As(err, &sys) || c.class != nil && err != nil && !errors.Is(err, c.class) {
		t.Fatalf("at %d: %v", at, err)
	}
	if err != nil && a.log != nil {
		if _, after := a.log.Append(kindAdd, nil); after == nil {
			t.Fatalf("at %d: appended after %v", at, err)
		}
	}
	fsys.Inject(nil)
	if err := a.reopen(fsys); err != nil {
		t.Fatalf("at %d, after %v: %v", at, err, err)
	}
	for range 2 {
		if err := a.give(false); err != nil {
			t.Fatal(err)
		}
	}
	after := fsys.Crash(uint64(at))
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	if err := a.reopen(after); err != nil {
		t.Fatalf("at %d, and a power failure: %v", at, err)
	}
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	return true
}
