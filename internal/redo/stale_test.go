package redo

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/meshnode/meshnode/internal/disk/faulty"
)

// twoSegments makes a log with records of one size in two segments, and a third one.
func twoSegments(t *testing.T) (fsys *faulty.FS, first, second string) {
	t.Helper()
	fsys = newDisk(t)
	o, err := open(labConfig(fsys))
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"aaaa", "bbbb", "cccc"} {
		for range 2 {
			if _, err := o.Append(1, []byte(data)); err != nil {
				t.Fatal(err)
			}
		}
		c, err := o.Begin()
		if err == nil {
			err = c.Abort()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	return fsys, pathOf(labDir, 1), pathOf(labDir, 2)
}

// TestStale has right records in wrong places: of another segment at the same offset, and
// of the same segment at another offset. None is taken for one of this place.
func TestStale(t *testing.T) {
	fsys, first, second := twoSegments(t)
	one, two := fsys.Get(first), fsys.Get(second)
	batch := int64(overhead+4) + commitSize
	for _, c := range []struct {
		name    string
		content []byte
	}{
		{"of another segment", slices.Concat(two[:headerSize], one[headerSize:])},
		{"of another place", slices.Concat(two[:headerSize], two[headerSize+batch:headerSize+2*batch], two[headerSize:headerSize+batch], two[headerSize+2*batch:])},
		{"twice", slices.Concat(two[:headerSize+batch], two[headerSize:headerSize+batch], two[headerSize+2*batch:])},
		{"one left out", slices.Concat(two[:headerSize], two[headerSize+batch:])},
		{"end left out", two[:headerSize+batch]},
	} {
		stale := fsys.Kill()
		stale.Put(second, c.content)
		_, err := open(labConfig(stale))
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.File != second {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestStaleUnderNewHeader begins a segment again that has no batches but the remains of
// one that was torn: they do not come back as records under the new header.
func TestStaleUnderNewHeader(t *testing.T) {
	fsys := newDisk(t)
	name := pathOf(labDir, 1)
	old := segmentOf([]string{"old"})
	fsys.Put(name, old[:len(old)-1])
	o, err := open(labConfig(fsys))
	if err != nil || len(o.all) != 0 || o.found.Cut == 0 {
		t.Fatalf("%+v, %v", o.found, err)
	}
	header := fsys.Get(name)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	fsys.Put(name, slices.Concat(header, old[headerSize:]))
	again, err := open(labConfig(fsys))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if len(again.all) != 0 {
		t.Errorf("it is back: %+v", again.all)
	}
}

// TestEnds has a segment that goes on beyond where the next one says it ends, in the
// middle of a batch.
func TestEnds(t *testing.T) {
	fsys := newDisk(t)
	next := header{magic: segmentMagic, log: 7, number: 2, salt: 12, extra: headerSize + 5}
	fsys.Put(pathOf(labDir, 1), segmentOf([]string{"abc"}))
	fsys.Put(pathOf(labDir, 2), next.encode())
	var corrupt *CorruptError
	if _, err := open(labConfig(fsys)); !errors.As(err, &corrupt) || corrupt.File != pathOf(labDir, 1) {
		t.Errorf("%v", err)
	}
}

// TestCommitted has the power fail right after a checkpoint was committed: it is there.
// Its segment is then known to have had a header, so it is missed when it lacks it.
func TestCommitted(t *testing.T) {
	fsys := newDisk(t)
	o, err := open(labConfig(fsys))
	if err != nil {
		t.Fatal(err)
	}
	c, err := o.Begin()
	if err == nil {
		_, err = c.Add(1, []byte("kept"))
	}
	if err == nil {
		err = c.Commit()
	}
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(20) {
		after := fsys.Crash(seed)
		again, err := open(labConfig(after))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if again.found.Checkpoint != c.file&^checkpointBit || len(again.all) != 1 || !bytes.Equal(again.all[0].Data, []byte("kept")) {
			t.Errorf("seed %d: %+v", seed, again.found)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	segment := pathOf(labDir, c.file&^checkpointBit)
	fsys.Put(segment, fsys.Get(segment)[:headerSize-1])
	if _, err := open(labConfig(fsys)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("without its header: %v", err)
	}
}
