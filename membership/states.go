package membership

import (
	"bufio"
	"fmt"
	"net/netip"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// Bounds of what a state exchange may announce.
const (
	maxStates     = 1 << 17
	maxStateField = 1024 // bytes of a name, an address or metadata
	maxStateKeys  = 16   // entries of one map
)

// nodeState is what memberlist knows of one member, as it tells its peers.
type nodeState struct {
	Name        string
	Addr        netip.AddrPort
	Meta        []byte
	Incarnation uint32
	Health      Health
}

// live tells whether the member is believed to run.
func (s *nodeState) live() bool { return s.Health == HealthAlive || s.Health == HealthSuspect }

// decodeStates reads the header and the states of a state exchange, after its
// type byte. What it allocates is bounded by what arrives. The error is
// ErrBadState.
func decodeStates(in *bufio.Reader) ([]nodeState, error) {
	r := stateReader{in: in, dec: msgpack.NewDecoder(in)}
	var n int64
	r.mapping(func(key string) bool {
		if key != "Nodes" {
			return false
		}
		n = r.integer(maxStates)
		return true
	})
	var states []nodeState
	for i := int64(0); i < n && r.err == nil; i++ {
		states = append(states, r.state())
	}
	if r.err != nil {
		return nil, r.err
	}
	return states, nil
}

// stateReader reads msgpack as memberlist writes it, where strings and bytes
// are the same type, and keeps the first error.
type stateReader struct {
	in  *bufio.Reader
	dec *msgpack.Decoder
	err error
}

func (r *stateReader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrBadState, what)
	}
}

func (r *stateReader) state() nodeState {
	var s nodeState
	var ip []byte
	var port int64
	r.mapping(func(key string) bool {
		switch key {
		case "Name":
			s.Name = string(r.bytes())
		case "Addr":
			ip = r.bytes()
		case "Port":
			port = r.integer(1<<16 - 1)
		case "Meta":
			s.Meta = r.bytes()
		case "Incarnation":
			s.Incarnation = uint32(r.integer(1<<32 - 1))
		case "State":
			s.Health = Health(r.integer(int64(len(healthNames)) - 1))
		default:
			return false
		}
		return true
	})
	addr, _ := netip.AddrFromSlice(ip)
	s.Addr = netip.AddrPortFrom(addr.Unmap(), uint16(port))
	return s
}

// mapping reads a map; field reads the value of a key, or returns false to
// have it skipped.
func (r *stateReader) mapping(field func(key string) bool) {
	if r.err != nil {
		return
	}
	code, err := r.dec.PeekCode()
	if err != nil || msgpcode.IsExt(code) {
		r.fail("want a map")
		return
	}
	n, err := r.dec.DecodeMapLen()
	if err != nil || n < 0 || n > maxStateKeys {
		r.fail("want a small map")
		return
	}
	for ; n > 0 && r.err == nil; n-- {
		key := string(r.bytes())
		if r.err == nil && !field(key) {
			r.skip()
		}
	}
}

// skip passes over a scalar. Nothing nested belongs here, so nothing nested
// can take the decoder to its depth.
func (r *stateReader) skip() {
	c, err := r.dec.PeekCode()
	switch {
	case err != nil:
		r.fail("cut off")
	case msgpcode.IsString(c) || msgpcode.IsBin(c):
		r.bytes()
	case c == msgpcode.Nil || c == msgpcode.True || c == msgpcode.False ||
		msgpcode.IsFixedNum(c) || (c >= msgpcode.Float && c <= msgpcode.Int64):
		if r.dec.Skip() != nil {
			r.fail("cut off")
		}
	default:
		r.fail("nested value of an unknown key")
	}
}

func (r *stateReader) bytes() []byte {
	if r.err != nil {
		return nil
	}
	n, err := r.dec.DecodeBytesLen()
	if err != nil || n > maxStateField {
		r.fail("text or bytes cut off or too long")
		return nil
	}
	if n <= 0 {
		return nil
	}
	b := make([]byte, n)
	if r.dec.ReadFull(b) != nil {
		r.fail("text or bytes cut off")
	}
	return b
}

// integer reads a number from 0 to most.
func (r *stateReader) integer(most int64) int64 {
	if r.err != nil {
		return 0
	}
	v, err := r.dec.DecodeInt64()
	if err != nil || v < 0 || v > most {
		r.fail("number cut off or out of range")
		return 0
	}
	return v
}
