package redo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/meshnode/meshnode/internal/disk/faulty"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The log of the tests, in memory. Lazy records are written only when a test has
// them written, so that runs repeat.
const labDir = "/data/log"

func labConfig(fsys *faulty.FS) Config {
	return Config{FS: fsys, Dir: labDir, SegmentBytes: 2 << 10, LazyDelay: time.Hour}
}

func newDisk(t testing.TB) *faulty.FS {
	t.Helper()
	fsys := faulty.New()
	if err := fsys.MkdirAll("/data"); err != nil {
		t.Fatal(err)
	}
	return fsys
}

// Kinds of the records of the tests: an entry is there from its add to its done.
const (
	kindAdd  = 1
	kindDone = 2
)

// event is one record. Its data follow from it, so that each can be checked.
type event struct {
	kind uint8
	id   uint32
}

func (e event) data() []byte {
	random := rand.New(rand.NewPCG(uint64(e.id), uint64(e.kind)))
	size := random.IntN(120)
	if random.IntN(8) == 0 {
		size += 1400
	}
	b := binary.LittleEndian.AppendUint32(nil, e.id)
	for range size {
		b = append(b, byte(random.Uint32()))
	}
	return b
}

// eventOf is the opposite, and checks each byte.
func eventOf(r Record) (event, error) {
	if len(r.Data) < 4 {
		return event{}, fmt.Errorf("%v: kind %d, data %x", r.Pos, r.Kind, r.Data)
	}
	e := event{r.Kind, binary.LittleEndian.Uint32(r.Data)}
	if !bytes.Equal(e.data(), r.Data) {
		return e, fmt.Errorf("%v: data of entry %d: %x", r.Pos, e.id, r.Data)
	}
	return e, nil
}

// story is what was done with a log, and what must be there after it.
type story struct {
	events []event        // in the order of Append and Lazy
	acked  int            // so many of them were acknowledged
	begun  map[uint64]int // by checkpoint: so many of them it stands for
}

func (s *story) clone() *story {
	return &story{slices.Clone(s.events), s.acked, maps.Clone(s.begun)}
}

// pending are the entries after the first n events, sorted.
func (s *story) pending(n int) []uint32 {
	there := make(map[uint32]bool)
	for _, e := range s.events[:n] {
		if e.kind == kindAdd {
			there[e.id] = true
		} else {
			delete(there, e.id)
		}
	}
	return slices.Sorted(maps.Keys(there))
}

// opened is a log that was opened, with what it gave to replay.
type opened struct {
	*Log
	found *Recovery
	all   []Record // with copies of the data
}

// open opens the log and checks that each record is one that was once written.
func open(cfg Config) (*opened, error) {
	o := &opened{}
	var err error
	o.Log, o.found, err = Open(cfg, func(r Record) error {
		r.Data = bytes.Clone(r.Data)
		o.all = append(o.all, r)
		return nil
	})
	return o, err
}

// errWrong is a log that gave what it must not give.
var errWrong = errors.New("WRONG")

// check holds what was replayed against the story: what the checkpoint stands for, and
// then the events one by one, as far as was acknowledged at least. From then on the
// story is as long as what was replayed.
func (s *story) check(o *opened) error {
	n := s.begun[o.found.Checkpoint]
	if o.found.Restored+o.found.Records != len(o.all) {
		return fmt.Errorf("%w: %d records, %+v", errWrong, len(o.all), o.found)
	}
	var restored []uint32
	for i, r := range o.all {
		e, err := eventOf(r)
		if err != nil {
			return fmt.Errorf("%w: %w", errWrong, err)
		}
		if r.Pos.Checkpoint() != (i < o.found.Restored) {
			return fmt.Errorf("%w: record %d at %v, %+v", errWrong, i, r.Pos, o.found)
		}
		if i < o.found.Restored {
			restored = append(restored, e.id)
			continue
		}
		if n == len(s.events) || s.events[n] != e {
			return fmt.Errorf("%w: %v is %+v, event %d of %d is another", errWrong, r.Pos, e, n, len(s.events))
		}
		n++
	}
	if want := s.pending(s.begun[o.found.Checkpoint]); !slices.Equal(restored, want) {
		return fmt.Errorf("%w: checkpoint %d holds %v, want %v", errWrong, o.found.Checkpoint, restored, want)
	}
	if n < s.acked {
		return fmt.Errorf("%w: %d events, %d were acknowledged; %+v", errWrong, n, s.acked, o.found)
	}
	s.events = s.events[:n]
	return nil
}

// actor does with a log what a seed says, and writes the story.
type actor struct {
	*story
	random *rand.Rand
	log    *Log
	next   uint32
}

func newActor(seed uint64) *actor {
	return &actor{story: &story{begun: make(map[uint64]int)}, random: rand.New(rand.NewPCG(seed, 1))}
}

// give appends one event, or leaves it to a later batch.
func (a *actor) give(lazy bool) error {
	e := event{kindAdd, a.next}
	if there := a.pending(len(a.events)); len(there) > 4 || len(there) > 0 && a.random.IntN(2) == 0 {
		e = event{kindDone, there[a.random.IntN(len(there))]}
	} else {
		a.next++
	}
	a.events = append(a.events, e)
	if lazy {
		return a.log.Lazy(e.kind, e.data())
	}
	if _, err := a.log.Append(e.kind, e.data()); err != nil {
		return err
	}
	a.acked = len(a.events)
	return nil
}

// check point: of what is there now. It acknowledges what was lazy.
func (a *actor) checkpoint() error {
	c, err := a.log.Begin()
	if err != nil {
		return err
	}
	a.acked = len(a.events)
	a.begun[c.file&^checkpointBit] = len(a.events)
	for _, id := range a.pending(len(a.events)) {
		if _, err := c.Add(kindAdd, event{kindAdd, id}.data()); err != nil {
			return errors.Join(err, c.Abort())
		}
	}
	if a.random.IntN(4) == 0 {
		return c.Abort()
	}
	if err := c.Commit(); err != nil {
		return err
	}
	return c.Release()
}

// step does one thing.
func (a *actor) step() error {
	switch n := a.random.IntN(20); {
	case n < 11:
		return a.give(false)
	case n < 18:
		return a.give(true)
	case n < 19:
		if err := a.log.Flush(); err != nil {
			return err
		}
		a.acked = len(a.events)
		return nil
	}
	return a.checkpoint()
}

// close acknowledges what was lazy, if it succeeds.
func (a *actor) close() error {
	err := a.log.Close()
	if err == nil {
		a.acked = len(a.events)
	}
	return err
}

// reopen opens the log and checks it, and goes on with it.
func (a *actor) reopen(fsys *faulty.FS) error {
	o, err := open(labConfig(fsys))
	if err != nil {
		return err
	}
	a.log = o.Log
	if err := a.story.check(o); err != nil {
		return errors.Join(err, o.Close())
	}
	a.acked = len(a.events) // what was found stays
	return nil
}
