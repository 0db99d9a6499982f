package rpc

const (
	slabBytes   = 4 << 10
	slabHeaders = 64
	// slabMost is the longest message that shares memory with others, in bytes.
	slabMost = 256
)

// slab copies messages into memory that they share, because an allocation for
// each small one costs more than the message. One that is kept keeps its slab:
// at most slabBytes and the headers.
//
// Invariant: no two copies overlap, and none can grow into the next.
type slab struct {
	bytes   []byte
	headers [][]byte
}

// copy gives a pointer to a copy of b, which is the caller's for good.
func (s *slab) copy(b []byte) *[]byte {
	if len(b) > slabMost {
		return copyOf(b)
	}
	if cap(s.bytes)-len(s.bytes) < len(b) {
		s.bytes = make([]byte, 0, slabBytes)
	}
	if len(s.headers) == cap(s.headers) {
		s.headers = make([][]byte, 0, slabHeaders)
	}
	at := len(s.bytes)
	s.bytes = append(s.bytes, b...)
	s.headers = append(s.headers, s.bytes[at:len(s.bytes):len(s.bytes)])
	return &s.headers[len(s.headers)-1]
}
