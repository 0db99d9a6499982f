package redo

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meshnode/meshnode/internal/disk/faulty"
)

// smallLog makes a log of several segments and two checkpoints, closed; the second
// checkpoint was not released.
func smallLog(t testing.TB) (*faulty.FS, *actor) {
	t.Helper()
	fsys, a := newDisk(t), newActor(9)
	if err := a.reopen(fsys); err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		for i := range 6 {
			if err := a.give(i%3 == 1); err != nil {
				t.Fatal(err)
			}
		}
		if round == 2 {
			break
		}
		c, err := a.log.Begin()
		if err != nil {
			t.Fatal(err)
		}
		a.begun[c.file&^checkpointBit] = len(a.events)
		for _, id := range a.pending(len(a.events)) {
			if _, err := c.Add(kindAdd, event{kindAdd, id}.data()); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // two more segments
		if err := errors.Join(a.close(), a.reopen(fsys), a.give(false), a.give(true)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	return fsys, a
}

// named tells whether an error is one that a damaged log may give.
func named(err error) bool { return errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNewerFormat) }

// TestFlips flips bits of every byte of a log, one byte at a time: opening it gives all
// that was there, or an error that names the file.
func TestFlips(t *testing.T) {
	fsys, a := smallLog(t)
	outcome := make(map[string]int)
	for _, name := range fsys.Names("/data") {
		for offset := range fsys.Get(name) {
			mask := []byte{0x01, 0x80, 0xff, 0x10}[offset%4]
			damaged := fsys.Kill()
			damaged.Flip(name, int64(offset), mask)
			what := fmt.Sprintf("%s, byte %d ^ %#x", filepath.Base(name), offset, mask)
			outcome[flipped(t, a.story.clone(), damaged, name, what)]++
		}
	}
	t.Log(outcome)
	if outcome["error"] == 0 || outcome["right"] == 0 || outcome["right, from the checkpoint before"] == 0 {
		t.Error("some outcome is missing")
	}
}

// flipped opens a log with one byte that is wrong, and tells what became of it.
func flipped(t *testing.T, s *story, damaged *faulty.FS, name, what string) string {
	t.Helper()
	o, err := open(labConfig(damaged))
	if err != nil {
		if !named(err) || !strings.Contains(err.Error(), name) {
			t.Fatalf("%s: %v", what, err)
		}
		return "error"
	}
	defer o.Close()
	if err := s.check(o); err != nil { // all was acknowledged, so all must be there
		t.Fatalf("%s: %v", what, err)
	}
	for _, r := range o.all {
		again, err := o.Read(r.Pos, nil)
		if err != nil || again.Kind != r.Kind || !bytes.Equal(again.Data, r.Data) {
			t.Fatalf("%s: %v is %+v, %v when read again", what, r.Pos, again, err)
		}
	}
	if o.found.Fallback {
		return "right, from the checkpoint before"
	}
	return "right"
}

// TestFlipsWhileOpen flips bits under a log that is open: a record that is read is the
// right one, or there is an error that names the file.
func TestFlipsWhileOpen(t *testing.T) {
	fsys, _ := smallLog(t)
	o, err := open(labConfig(fsys))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	for _, r := range o.all {
		name := pathOf(labDir, r.Pos.file)
		for i := range int64(overhead + len(r.Data)) {
			fsys.Flip(name, r.Pos.offset+i, 0x10)
			again, err := o.Read(r.Pos, nil)
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || corrupt.File != name || corrupt.Offset != r.Pos.offset {
				t.Fatalf("%v, byte %d: %+v, %v", r.Pos, i, again, err)
			}
			fsys.Flip(name, r.Pos.offset+i, 0x10)
		}
	}
}

// TestFlipsAfterPowerFailure flips bits of the last segment of a log that was not closed:
// what is served is a prefix, each record of it right, and what is missing was told.
func TestFlipsAfterPowerFailure(t *testing.T) {
	fsys, a := newDisk(t), newActor(5)
	if err := a.reopen(fsys); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		if err := a.give(i == 3); err != nil {
			t.Fatal(err)
		}
	}
	end := a.log.Stats().End
	name := pathOf(labDir, end.file)
	left := fsys.Kill()
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	for offset := range left.Get(name) {
		damaged := left.Kill()
		damaged.Flip(name, int64(offset), 0x40)
		s := a.story.clone()
		o, err := open(labConfig(damaged))
		if named(err) {
			continue
		}
		if err == nil {
			err = errors.Join(s.check(o), o.Close())
		}
		if err != nil {
			t.Fatalf("byte %d: %v", offset, err)
		}
	}
}

// TestTornEnds cuts the last segment, or what follows its last batch, in every way: of
// what was synced nothing is lost but what is cut off.
func TestTornEnds(t *testing.T) {
	fsys, a := newDisk(t), newActor(6)
	if err := a.reopen(fsys); err != nil {
		t.Fatal(err)
	}
	var ends []int64 // of the batches
	for range 5 {
		if err := a.give(false); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, a.log.Stats().End.offset)
	}
	name := pathOf(labDir, a.log.Stats().End.file)
	whole := fsys.Get(name)
	for size := headerSize; size <= len(whole); size++ {
		for _, rest := range [][]byte{nil, make([]byte, 700), bytes.Repeat([]byte{0xa5}, 33), whole[headerSize:min(len(whole), 300)]} {
			torn := fsys.Kill()
			content := slices.Concat(whole[:size], rest)
			torn.Put(name, content)
			s := a.story.clone()
			s.acked = 0
			for s.acked < len(ends) && bytes.HasPrefix(content, whole[:ends[s.acked]]) {
				s.acked++ // as far as the rest does not happen to be what was there
			}
			want := s.acked
			o, err := open(labConfig(torn))
			if err == nil {
				err = s.check(o)
			}
			if err != nil {
				t.Fatalf("cut at %d and %d bytes: %v", size, len(rest), err)
			}
			if got := len(torn.Get(name)); int64(got) != max(o.found.End.offset, headerSize) {
				t.Errorf("cut at %d and %d bytes: %d are left, the end is %v", size, len(rest), got, o.found.End)
			}
			if len(s.events) != want {
				t.Errorf("cut at %d and %d bytes: %d events, want %d", size, len(rest), len(s.events), want)
			}
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
}

// TestMissing removes each file of a log: it is missed if it is needed.
func TestMissing(t *testing.T) {
	fsys, a := smallLog(t)
	names := fsys.Names(labDir)
	missed := 0
	for i, name := range names {
		gone := fsys.Kill()
		gone.Put(name, nil)
		s := a.story.clone()
		o, err := open(labConfig(gone))
		if err == nil {
			err = errors.Join(s.check(o), o.Close())
		}
		file, _ := parseName(filepath.Base(name))
		needed := file&checkpointBit == 0 && file >= s.newest() && i < len(names)-1
		switch {
		case needed && !errors.Is(err, ErrCorrupt):
			t.Errorf("without %s: %v", name, err)
		case !needed && i != len(names)-1 && err != nil:
			t.Errorf("without %s: %v", name, err)
		}
		if needed {
			missed++
		}
	}
	if missed == 0 {
		t.Fatalf("none was needed: %v", names)
	}
}

func (s *story) newest() (number uint64) {
	for n := range s.begun {
		number = max(number, n)
	}
	return number
}
