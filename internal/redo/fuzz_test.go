package redo

import (
	"bytes"
	"errors"
	"testing"

	"github.com/meshnode/meshnode/internal/disk/faulty"
)

// fuzzHeader is what the files of the fuzz targets begin with.
func fuzzHeader(magic string) header {
	return header{magic: magic, log: 7, number: 1, salt: 11}
}

// segmentOf encodes batches of records as the log does.
func segmentOf(batches ...[]string) []byte {
	h, s := fuzzHeader(segmentMagic), newSummer()
	b := h.encode()
	for _, batch := range batches {
		begin := len(b)
		for i, data := range batch {
			b = appendRecord(b, uint8(i+1), []byte(data), s.data([]byte(data)))
		}
		s.place(b[begin:], h.salt, int64(begin))
		b = s.appendCommit(b, uint64(begin), h.salt, int64(len(b)))
	}
	return b
}

// checkpointOf encodes a checkpoint.
func checkpointOf(records ...string) []byte {
	h, s := fuzzHeader(checkpointMagic), newSummer()
	b := h.encode()
	for i, data := range records {
		begin := len(b)
		b = appendRecord(b, uint8(i+1), []byte(data), s.data([]byte(data)))
		s.place(b[begin:], h.salt, int64(begin))
	}
	return s.appendCommit(b, uint64(len(records)), h.salt, int64(len(b)))
}

// same fails unless a record lies in the file exactly as it was given: what is served is
// what was written there, or the checksum says otherwise.
func same(t *testing.T, salt uint64, content []byte, r Record) {
	t.Helper()
	s := newSummer()
	want := appendRecord(nil, r.Kind, r.Data, s.data(r.Data))
	s.place(want, salt, r.Pos.offset)
	if r.Kind == commitKind || !bytes.HasPrefix(content[r.Pos.offset:], want) {
		t.Fatalf("%v: %+v is not in the file", r.Pos, r)
	}
}

// FuzzSegment reads bytes as a segment. Whatever they are, the records come from whole
// batches that follow each other, and the rest is an error or a torn end.
func FuzzSegment(f *testing.F) {
	whole := segmentOf([]string{"a", "bc"}, []string{""}, []string{"def", "", "g"})
	f.Add(whole)
	f.Add(whole[:len(whole)-5])
	f.Add(append(bytes.Clone(whole), make([]byte, 100)...))
	flipped := bytes.Clone(whole)
	flipped[headerSize+3] ^= 0x20
	f.Add(flipped)
	f.Fuzz(func(t *testing.T, content []byte) {
		fsys := faulty.New()
		name := pathOf(labDir, 1)
		fsys.Put(name, content)
		cfg := Config{FS: fsys, Dir: labDir, ReadOnly: true}
		h, bad := decodeHeader(name, segmentMagic, 1, content)
		o, err := open(cfg)
		if err != nil {
			if !named(err) || bad == nil && errors.Is(err, ErrNewerFormat) {
				t.Fatal(err)
			}
			return
		}
		defer o.Close()
		next := int64(headerSize)
		for _, r := range o.all {
			same(t, h.salt, content, r)
			if r.Pos.offset != next && r.Pos.offset != next+commitSize {
				t.Fatalf("%v, the record before ends at %d", r.Pos, next)
			}
			next = r.Pos.offset + overhead + int64(len(r.Data))
			if again, err := o.Read(r.Pos, nil); err != nil || !bytes.Equal(again.Data, r.Data) {
				t.Fatalf("%v: %+v, %v", r.Pos, again, err)
			}
		}
		if len(o.all) > 0 && o.found.End.offset != next+commitSize {
			t.Fatalf("%+v, the last record ends at %d", o.found, next)
		}
	})
}

// FuzzCheckpoint reads bytes as a checkpoint. It is whole to its last byte, or it is not
// served at all.
func FuzzCheckpoint(f *testing.F) {
	whole := checkpointOf("a", "", "bcdef")
	f.Add(whole)
	f.Add(checkpointOf())
	f.Add(whole[:len(whole)-commitSize])
	f.Add(append(bytes.Clone(whole), 0))
	f.Fuzz(func(t *testing.T, content []byte) {
		fsys := faulty.New()
		fsys.Put(pathOf(labDir, 1|checkpointBit), content)
		fsys.Put(pathOf(labDir, 1), segmentOf())
		o, err := open(Config{FS: fsys, Dir: labDir, ReadOnly: true})
		if err != nil {
			if !named(err) {
				t.Fatal(err)
			}
			return
		}
		defer o.Close()
		if o.found.Fallback != (o.found.Checkpoint == 0) || o.found.Fallback && len(o.all) > 0 {
			t.Fatalf("%+v, %d records", o.found, len(o.all))
		}
		if o.found.Fallback {
			return
		}
		h, err := decodeHeader("", checkpointMagic, 1, content)
		if err != nil {
			t.Fatal(err)
		}
		rebuilt := content[:headerSize:headerSize]
		s := newSummer()
		for _, r := range o.all {
			same(t, h.salt, content, r)
			rebuilt = append(rebuilt, content[r.Pos.offset:r.Pos.offset+overhead+int64(len(r.Data))]...)
		}
		rebuilt = s.appendCommit(rebuilt, uint64(len(o.all)), h.salt, int64(len(rebuilt)))
		if !bytes.Equal(rebuilt, content) {
			t.Fatalf("%d bytes were taken for a checkpoint of %d", len(content), len(rebuilt))
		}
	})
}

// FuzzDamage changes a whole log as the input says: bytes flipped, cut out or repeated. What
// is served was written, in its order, or there is a named error.
func FuzzDamage(f *testing.F) {
	f.Add([]byte{3, 0, 200, 1, 5}, uint8(0))
	f.Add([]byte{2, 1, 90, 40, 0}, uint8(3))
	fsys, a := smallLog(f)
	names := fsys.Names(labDir)
	f.Fuzz(func(t *testing.T, ops []byte, which uint8) {
		damaged := fsys.Kill()
		name := names[int(which)%len(names)]
		content := damaged.Get(name)
		for ; len(ops) >= 5 && len(content) > 0; ops = ops[5:] {
			at := (int(ops[1])<<8 | int(ops[2])) % len(content)
			n := min(int(ops[3]), len(content)-at)
			switch ops[0] % 4 {
			case 0:
				content[at] ^= ops[4]
			case 1:
				content = append(content[:at:at], content[at+n:]...)
			case 2:
				content = append(content[:at+n:at+n], content[at:]...)
			case 3:
				clear(content[at : at+n])
			}
		}
		damaged.Put(name, content)
		s := a.story.clone()
		if name == names[len(names)-1] {
			s.acked = 0 // batches that are cut out of the end leave no trace
		}
		o, err := open(labConfig(damaged))
		if named(err) {
			return
		}
		if err == nil {
			err = errors.Join(s.check(o), o.Close())
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	})
}
