package wire

import "errors"

// ErrTooLarge: a value is longer than the limit, by what it declares.
var ErrTooLarge = errors.New("wire: value exceeds the limit")

// Scanner finds the end of one msgpack value in a stream that has no lengths
// in front. It is asked again as bytes arrive and goes on where it stopped, so
// a value costs time linear in its length however small the pieces are. What
// is declared counts at once: a value that cannot end within the limit is
// refused before its bytes arrive.
//
// Invariant: pos is where the next head begins, owed is how many heads are
// still to come, and open[1:depth+1] says how many of them belong to each open
// container, open[0] how many to the stream.
//
// The zero Scanner finds nothing; Reset makes it ready.
type Scanner struct {
	limit    int
	maxDepth int
	pos      int
	owed     int
	depth    int
	open     [MaxDepth + 1]uint32
}

// Reset prepares for the next value, of at most limit bytes and nesting at most
// maxDepth (itself at most MaxDepth) arrays and maps, empty ones not counted.
func (s *Scanner) Reset(limit, maxDepth int) {
	s.limit, s.maxDepth = limit, max(0, min(maxDepth, MaxDepth))
	s.pos, s.owed, s.depth = 0, 1, 0
	s.open[0] = 1
}

// Next gives the value's length if b, which begins where the value does, holds
// all of it, else 0: call it again with more. Errors: ErrTooLarge, ErrTooDeep,
// ErrMalformed, and ErrLength for a length that no machine can hold.
func (s *Scanner) Next(b []byte) (int, error) {
	for s.owed > 0 {
		if s.pos >= len(b) {
			return 0, s.more(len(b))
		}
		size, children, err := scanHead(b[s.pos:])
		if err == ErrTruncated { // the head's own bytes are still to come
			return 0, s.more(len(b))
		}
		if err != nil {
			return 0, err
		}
		if err := s.take(size, children); err != nil {
			return 0, err
		}
	}
	if s.pos > len(b) {
		return 0, nil
	}
	return s.pos, nil
}

// more refuses to wait for bytes beyond the limit.
func (s *Scanner) more(seen int) error {
	if seen >= s.limit {
		return ErrTooLarge
	}
	return nil
}

// take passes one head and its payload.
func (s *Scanner) take(size, children int) error {
	if size > s.limit || children > s.limit {
		return ErrTooLarge
	}
	s.pos += size
	s.owed += children - 1
	s.open[s.depth]--
	if s.pos+s.owed > s.limit { // each head is a byte at least
		return ErrTooLarge
	}
	if children > 0 {
		if s.depth == s.maxDepth {
			return ErrTooDeep
		}
		s.depth++
		s.open[s.depth] = uint32(children) // at most limit
	}
	for s.depth > 0 && s.open[s.depth] == 0 {
		s.depth--
	}
	return nil
}
