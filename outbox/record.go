package outbox

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/meshnode/meshnode/rpc"
)

// The kinds of records in the redo log.
const (
	kindCall   = 1 // a call was taken
	kindDone   = 2 // it was executed; with its reply
	kindDead   = 3 // it was given up
	kindRevive = 4 // a dead letter is tried again
	kindForget = 5 // a call was dropped by hand
	kindBox    = 6 // who the box is; the first record of a log and of each checkpoint
)

// errRecord tells of a record whose checksum is right and whose content is not: of
// another version, or not written by this package.
var errRecord = errors.New("outbox: a record cannot be read")

// hash is what the arguments of a call are compared by.
type hash [16]byte

// hashOf is of the method, the key and the request.
func hashOf(method, key string, body []byte) hash {
	h := sha256.New()
	var n [8]byte
	for _, part := range []string{method, key} {
		binary.LittleEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	h.Write(body)
	return hash(h.Sum(nil)[:16])
}

// callRecord is a call as it was taken. Times are in Unix milliseconds.
type callRecord struct {
	seq      uint64
	enqueued int64
	expires  int64
	hash     hash
	id       string
	key      string
	method   string
	caller   *rpc.Identity // who enqueued it; nil: the box's node
	metadata rpc.Metadata
	body     []byte
}

func (r *callRecord) append(b []byte) []byte {
	b = binary.AppendUvarint(b, r.seq)
	b = binary.AppendVarint(b, r.enqueued)
	b = binary.AppendVarint(b, r.expires)
	b = append(b, r.hash[:]...)
	b = appendText(appendText(appendText(b, r.id), r.key), r.method)
	b = appendCaller(b, r.caller)
	b = binary.AppendUvarint(b, uint64(len(r.metadata)))
	for _, k := range slices.Sorted(maps.Keys(r.metadata)) {
		b = appendText(appendText(b, k), r.metadata[k])
	}
	return append(b, r.body...)
}

// decodeCall reads what append wrote. The body aliases b.
func decodeCall(b []byte) (r callRecord, err error) {
	d := reader{b: b}
	r.seq, r.enqueued, r.expires = d.uint(), d.int(), d.int()
	copy(r.hash[:], d.take(len(r.hash)))
	r.id, r.key, r.method = d.text(), d.text(), d.text()
	r.caller = d.caller()
	for n := d.uint(); n > 0 && !d.bad; n-- {
		if r.metadata == nil {
			r.metadata = rpc.Metadata{}
		}
		k := d.text()
		r.metadata[k] = d.text()
	}
	r.body = d.b
	return r, d.err("call")
}

// The bits of a caller in a record; 0: there is none.
const (
	callerGiven    = 1
	callerMember   = 2
	callerVerified = 4
)

func appendCaller(b []byte, who *rpc.Identity) []byte {
	if who == nil {
		return append(b, 0)
	}
	bits := byte(callerGiven)
	if who.Member {
		bits |= callerMember
	}
	if who.Verified {
		bits |= callerVerified
	}
	return appendText(append(b, bits), who.Name)
}

// caller reads what appendCaller wrote.
func (d *reader) caller() *rpc.Identity {
	bits := d.take(1)
	switch {
	case d.bad || bits[0] == 0:
		return nil
	case bits[0]&callerGiven == 0:
		d.bad = true
		return nil
	}
	return &rpc.Identity{Name: d.text(), Member: bits[0]&callerMember != 0, Verified: bits[0]&callerVerified != 0}
}

// endRecord is how a call ended: done has a reply, dead a code and a message.
type endRecord struct {
	seq      uint64
	ended    int64
	attempts uint64
	code     rpc.Code
	doubt    bool // dead: it may have been executed
	message  string
	reply    []byte
}

func (r *endRecord) append(b []byte) []byte {
	b = binary.AppendUvarint(b, r.seq)
	b = binary.AppendVarint(b, r.ended)
	b = binary.AppendUvarint(b, r.attempts)
	b = binary.AppendUvarint(b, uint64(r.code))
	doubt := byte(0)
	if r.doubt {
		doubt = 1
	}
	return append(appendText(append(b, doubt), r.message), r.reply...)
}

// decodeEnd reads what append wrote. The reply aliases b.
func decodeEnd(b []byte) (r endRecord, err error) {
	d := reader{b: b}
	r.seq, r.ended, r.attempts, r.code = d.uint(), d.int(), d.uint(), rpc.Code(d.uint())
	if doubt := d.take(1); doubt != nil {
		r.doubt = doubt[0] != 0
	}
	r.message = d.text()
	r.reply = d.b
	return r, d.err("end")
}

// noteRecord is about a call: revive has a new expiry, forget has none.
type noteRecord struct {
	seq     uint64
	expires int64
}

func (r *noteRecord) append(b []byte) []byte {
	return binary.AppendVarint(binary.AppendUvarint(b, r.seq), r.expires)
}

func decodeNote(b []byte) (r noteRecord, err error) {
	d := reader{b: b}
	r.seq, r.expires = d.uint(), d.int()
	return r, d.err("note")
}

// boxRecord is who the box is: ids that it makes begin with its number.
type boxRecord struct{ box, next uint64 }

func (r *boxRecord) append(b []byte) []byte {
	return binary.AppendUvarint(binary.LittleEndian.AppendUint64(b, r.box), r.next)
}

func decodeBox(b []byte) (r boxRecord, err error) {
	d := reader{b: b}
	if box := d.take(8); box != nil {
		r.box = binary.LittleEndian.Uint64(box)
	}
	r.next = d.uint()
	return r, d.err("box")
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// reader takes a record apart. Once something does not fit, it is bad and gives
// zeros.
type reader struct {
	b   []byte
	bad bool
}

func (d *reader) err(what string) error {
	if d.bad {
		return fmt.Errorf("%w: %s", errRecord, what)
	}
	return nil
}

func (d *reader) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	d.skip(n)
	return v
}

func (d *reader) int() int64 {
	v, n := binary.Varint(d.b)
	d.skip(n)
	return v
}

func (d *reader) skip(n int) {
	if n <= 0 {
		d.bad, d.b = true, nil
		return
	}
	d.b = d.b[n:]
}

// take gives the next n bytes, which alias the record; nil if there are fewer.
func (d *reader) take(n int) []byte {
	if n > len(d.b) {
		d.bad, d.b = true, nil
		return nil
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

func (d *reader) text() string {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return ""
	}
	return string(d.take(int(n)))
}
