package transport

import (
	"context"
	"math"
	"sync/atomic"

	"github.com/meshnode/meshnode/internal/wire"
)

// segment sizes of a body that arrives in parts, in bytes: the first, and the
// largest.
const (
	firstSegment = wire.Chunk
	maxSegment   = 1 << 20
)

// inbound is a body that arrives in parts. It is kept in segments, so that what
// has come is never copied on the reader while others wait for it; whoever
// uses the body joins them.
//
// Invariant: have is the sum of the segments' lengths, and memory is at most
// have + maxSegment + firstSegment.
type inbound struct {
	total    int // declared; 0: not
	have     int
	left     int64 // credit that the peer has on this stream
	owed     int64 // arrived and not granted again
	segments [][]byte
	tick     atomic.Int64 // when the last part came
}

// add appends a part. It gives the credit to grant, if any.
func (b *inbound) add(part []byte, window int64) (grant int64, err error) {
	cost := int64(len(part) + frameCost)
	if b.left -= cost; b.left < 0 {
		return 0, ErrWindowOverflow
	}
	b.have += len(part)
	for len(part) > 0 {
		last := len(b.segments) - 1
		if last < 0 || len(b.segments[last]) == cap(b.segments[last]) {
			b.segments = append(b.segments, make([]byte, 0, b.segmentSize(len(part))))
			last++
		}
		seg := b.segments[last]
		n := min(len(part), cap(seg)-len(seg))
		b.segments[last] = append(seg, part[:n]...)
		part = part[n:]
	}
	if b.owed += cost; b.owed < window/2 {
		return 0, nil
	}
	grant = b.owed
	b.left += grant
	b.owed = 0
	return grant, nil
}

// segmentSize is the size of the next segment: as much as there is already,
// within bounds, and no more than is to come.
func (b *inbound) segmentSize(part int) int {
	size := min(max(b.have, firstSegment), maxSegment)
	if b.total > 0 {
		size = min(size, b.total-b.have+part)
	}
	return max(size, part)
}

// join gives the body in one piece.
func (b *inbound) join() []byte {
	if len(b.segments) == 1 {
		return b.segments[0]
	}
	whole := make([]byte, 0, b.have)
	for _, seg := range b.segments {
		whole = append(whole, seg...)
	}
	b.segments = nil
	return whole
}

// sendBody sends a body, or a message of a stream, in as many parts as it takes. It
// returns what was not sent.
func (c *Conn) sendBody(ctx context.Context, s *sender, body []byte) (rest []byte, err error) {
	for {
		if body, err = c.sendPart(ctx, s, body); err != nil || len(body) == 0 {
			return body, err
		}
	}
}

// data handles a data frame: of a stream, or of a body in parts. What belongs
// to a call that has ended meanwhile is dropped.
func (c *Conn) data(h *wire.Header, part []byte) error {
	c.reader.used = true
	cost := int64(len(part) + frameCost)
	stream, body, known := c.receiver(h.ID)
	if !known {
		return ErrUnexpectedFrame
	}
	grant, err := c.in.arrived(cost)
	if err != nil {
		return err
	}
	c.grant(0, grant, byReader)
	switch {
	case stream != nil:
		return stream.in.put(part, h.More)
	case body != nil:
		return c.addPart(h.ID, body, part)
	}
	return nil
}

// receiver gives what takes the data frames of id; both are nil if nothing does
// any more.
func (c *Conn) receiver(id uint64) (s *Stream, b *inbound, known bool) {
	if id&1 == c.serving.odd {
		return c.serving.receiver(id)
	}
	return c.pend.receiver(id, c.ownWindow)
}

// receiver gives what takes the data frames of a call that a peer made.
func (s *serving) receiver(id uint64) (*Stream, *inbound, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := id != 0 && id <= s.seen
	in := s.findLocked(id)
	if in == nil {
		return nil, nil, known
	}
	return in.stream, in.parts, true
}

// receiver gives what takes the data frames of a call that was made here: its
// stream, or the body of its reply.
func (t *pending) receiver(id uint64, window int64) (*Stream, *inbound, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slot, known := t.slotLocked(id)
	if slot == nil {
		return nil, nil, known
	}
	r := *slot
	if r.stream != nil {
		return r.stream, nil, true
	}
	if r.parts == nil {
		r.parts = &inbound{left: window}
	}
	return nil, r.parts, true
}

// addPart takes a part of a body: of a call's request, which starts when it is
// complete, or of a reply, which ends with the reply frame.
func (c *Conn) addPart(id uint64, b *inbound, part []byte) error {
	request := id&1 == c.serving.odd
	if request && (len(part) == 0 || b.have+len(part) > b.total) {
		return ErrBodyLength
	}
	if !request && b.have+len(part) > c.ep.cfg.MaxBody {
		c.tooMuch(id)
		return nil
	}
	b.tick.Store(c.ep.tick.Load())
	grant, err := b.add(part, c.ownWindow)
	if err != nil {
		return err
	}
	if request && b.have == b.total {
		if in := c.serving.start(id); in != nil {
			c.ep.workers.run(in)
		}
		return nil
	}
	c.grant(id, grant, byReader)
	return nil
}

// tooMuch ends a call of ours whose reply is larger than we take.
func (c *Conn) tooMuch(id uint64) {
	r, _ := c.pend.take(id)
	if r == nil {
		return
	}
	c.ep.stats.add(BodiesTooLarge, 1)
	c.cancel(id, ErrBodyTooLarge)
	r.finish(&CallError{Err: ErrBodyTooLarge})
	c.left()
}

// never is the end of a frame that is not wholly queued yet.
const never = math.MaxUint64
