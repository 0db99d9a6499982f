package scenario

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"

	"github.com/meshnode/meshnode/internal/simnet"
)

// trace is all that happened, as a hash and, if somebody wants it, as text: one
// line per event.
//
// Invariant: two runs have the same hash exactly if they had the same events, with
// the same times, in the same order.
type trace struct {
	mu     sync.Mutex
	start  time.Time
	sum    hash.Hash
	buf    []byte
	events uint64
	text   io.Writer // nil: nobody reads it
}

func newTrace(text io.Writer) *trace { return &trace{sum: sha256.New(), text: text, start: time.Now()} }

// network takes an event of the network.
func (t *trace) network(e simnet.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.beginLocked(e.At, string(e.Kind))
	t.addLocked(e.From)
	t.addLocked(e.To)
	t.buf = binary.LittleEndian.AppendUint64(t.buf, e.Seq)
	t.buf = binary.LittleEndian.AppendUint64(t.buf, uint64(e.Size))
	t.buf = binary.LittleEndian.AppendUint32(t.buf, e.Sum)
	t.endLocked()
	if t.text != nil {
		fmt.Fprintf(t.text, "%.6f %s %s %s #%d %d %08x\n", e.At.Sub(t.start).Seconds(), e.Kind, e.From, e.To, e.Seq, e.Size, e.Sum)
	}
}

// note takes an event of the run: what was done, to whom, and what it came to.
func (t *trace) note(kind, who, what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.beginLocked(now, kind)
	t.addLocked(who)
	t.addLocked(what)
	t.endLocked()
	if t.text != nil {
		fmt.Fprintf(t.text, "%.6f %s %s %s\n", now.Sub(t.start).Seconds(), kind, who, what)
	}
}

func (t *trace) beginLocked(at time.Time, kind string) {
	t.buf = binary.LittleEndian.AppendUint64(t.buf[:0], uint64(at.Sub(t.start)))
	t.addLocked(kind)
}

func (t *trace) addLocked(s string) {
	t.buf = append(binary.LittleEndian.AppendUint32(t.buf, uint32(len(s))), s...)
}

func (t *trace) endLocked() {
	t.events++
	t.sum.Write(t.buf) //nolint:errcheck // a hash takes everything
}

// result gives the hash and the number of events.
func (t *trace) result() (sum string, events uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return hex.EncodeToString(t.sum.Sum(nil)), t.events
}
