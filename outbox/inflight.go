package outbox

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/meshnode/meshnode/internal/ledger"
	"github.com/meshnode/meshnode/rpc"
)

// inflight is a file of the durable calls that handlers of this process execute now, so
// that the next process knows which ones were under way when this one died. It is
// written without a sync: what a process has written survives its death, and the
// death of the machine says nothing of a call. A call costs two short writes, into
// the same few pages.
//
// Invariant: a slot is in free, or has a call that is being executed. A slot of the
// file with a right checksum has a call whose handler had begun, and not returned.
type inflight struct {
	f   *os.File
	log zerolog.Logger

	mu    sync.Mutex
	free  []int
	slots int // in the file
	buf   [slotBytes]byte
	bad   bool // a write failed, and that was logged
}

// A slot of the file: checksum u32 of what follows, up to the id's end; length of the
// id u8; partition u32; expiry i64 in Unix milliseconds; hash; id.
const (
	slotBytes = 256
	slotHead  = 4 + 1 + 4 + 8 + len(hash{})
)

// openInflight opens the file, and returns the calls that were under way when the
// process before this one died.
func openInflight(path string, log zerolog.Logger) (*inflight, []ledger.Call, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, err
	}
	return &inflight{f: f, log: log}, inflightIn(text), nil
}

// inflightIn reads the slots of a file. Those that no call has, or that were cut off,
// have no right checksum.
func inflightIn(text []byte) (calls []ledger.Call) {
	for ; len(text) >= slotBytes; text = text[slotBytes:] {
		n := int(text[4])
		if n == 0 || n > rpc.MaxID || binary.LittleEndian.Uint32(text) != crc32.ChecksumIEEE(text[4:slotHead+n]) {
			continue
		}
		c := ledger.Call{
			ID: string(text[slotHead : slotHead+n]), Partition: binary.LittleEndian.Uint32(text[5:]),
			Expires: time.UnixMilli(int64(binary.LittleEndian.Uint64(text[9:]))),
		}
		copy(c.Hash[:], text[17:])
		calls = append(calls, c)
	}
	return calls
}

// clear empties the file, for good: its calls have been dealt with.
func (i *inflight) clear() error {
	return errors.Join(i.f.Truncate(0), i.f.Sync())
}

// begin notes that a handler begins to execute a call. Its slot is given back with end.
func (i *inflight) begin(c ledger.Call) (slot int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if n := len(i.free) - 1; n >= 0 {
		slot, i.free = i.free[n], i.free[:n]
	} else {
		slot = i.slots
		i.slots++
	}
	b := append(i.buf[:4], byte(len(c.ID)))
	b = binary.LittleEndian.AppendUint32(b, c.Partition)
	b = binary.LittleEndian.AppendUint64(b, uint64(c.Expires.UnixMilli()))
	b = append(append(b, c.Hash[:]...), c.ID...)
	binary.LittleEndian.PutUint32(b, crc32.ChecksumIEEE(b[4:]))
	clear(i.buf[len(b):])
	i.writeLocked(i.buf[:], slot)
	return slot
}

// end notes that the call of a slot is not executed any more.
func (i *inflight) end(slot int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.buf[4] = 0
	i.writeLocked(i.buf[:5], slot)
	i.free = append(i.free, slot)
}

// writeLocked writes the head of a slot. Without it calls are executed all the same:
// only a crash would not be counted.
func (i *inflight) writeLocked(b []byte, slot int) {
	if _, err := i.f.WriteAt(b, int64(slot)*slotBytes); err != nil && !i.bad {
		i.bad = true
		i.log.Error().Err(err).Msg("the calls that are executed cannot be noted: one that kills this process is not found out")
	}
}

func (i *inflight) close() error { return i.f.Close() }
