package transport

import (
	"context"
	"slices"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// Flow control. Each data frame costs its body and frameCost, of its stream's
// window and of the connection's. A stream's window begins small and is widened
// at once by the receiver, from a pool of the connection (windowPool); that of a
// body in parts is the one of the hello, as is the connection's. The receiver
// grants what was used again, once that is half a window: of the stream when the
// bytes are taken by whoever reads it, of the connection when they have arrived.
// So a slow reader stops its own stream and nothing else, and what is under way on
// the connection at any moment, which small calls have to wait for, is bounded by
// its window.
const (
	frameCost = 32 // bytes
	// minWindow is the smallest window that works: parts are at most half of it.
	minWindow = 1 << 10
	// maxCredit bounds what a peer can grant in all.
	maxCredit = 1 << 31
)

// sender is the sending half of a stream or a body in parts.
//
// Invariant: credit, err and waits are guarded by the writer's mu; credit is
// never negative.
type sender struct {
	id     uint64
	least  int // bytes of the smallest part that is worth sending
	credit int64
	err    error         // why nothing more is sent
	end    *uint64       // takes the place behind the last part in the outgoing stream; may be nil
	waits  bool          // for the connection's credit
	wake   chan struct{} // capacity 1: credit or err has changed
}

// newSender returns the sender of a body in parts. The parts are whole ones.
func (c *Conn) newSender(id uint64) *sender {
	return &sender{id: id, credit: c.window, least: c.part, wake: make(chan struct{}, 1)}
}

// newStreamSender returns that of a stream. Its window may be much smaller than
// the one of the hello, and so may its parts.
func (c *Conn) newStreamSender(id uint64) *sender {
	floor := min(c.window, streamFloor)
	least := min(c.part, int(floor/2)-frameCost)
	return &sender{id: id, credit: floor, least: least, wake: make(chan struct{}, 1)}
}

func (s *sender) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// outflow is the connection's credit for sending, guarded by the writer's mu.
type outflow struct {
	credit  int64
	waiting []*sender          // for credit of the connection
	senders map[uint64]*sender // those that are open
}

// sendPart sends one data frame with the beginning of body, as much as fits into
// a frame and the windows, and returns the rest. It waits for credit, until ctx ends, the connection ends,
// or somebody stops s. Credit is the peer's to give, memory is not: it waits for
// room in the queue, too.
func (c *Conn) sendPart(ctx context.Context, s *sender, body []byte) (rest []byte, err error) {
	c.out.mu.Lock()
	for {
		n := min(int64(len(body)), int64(c.part), s.credit-frameCost, c.flow.credit-frameCost)
		least := int64(min(len(body), s.least))
		switch {
		case c.out.err != nil:
			c.out.mu.Unlock()
			return body, ErrClosed
		case s.err != nil:
			c.out.mu.Unlock()
			return body, s.err
		case len(c.out.buf) >= c.out.limit:
			if err := c.out.waitRoomLocked(ctx); err != nil && c.out.err == nil {
				c.out.mu.Unlock()
				return body, err
			}
			continue
		case n >= least:
			s.credit -= n + frameCost
			c.flow.credit -= n + frameCost
			return body[n:], c.sendDataLocked(s, body[:n], n < int64(len(body)))
		case s.credit-frameCost >= least && !s.waits:
			s.waits = true
			c.flow.waiting = append(c.flow.waiting, s)
		}
		c.out.mu.Unlock()
		if err := c.awaitCredit(ctx, s); err != nil {
			return body, err
		}
		c.out.mu.Lock()
	}
}

// awaitCredit waits for a change of what s may send. A peer that grants nothing
// for very long has stalled: whoever waits for it would wait forever.
func (c *Conn) awaitCredit(ctx context.Context, s *sender) error {
	select { // mostly it is not long
	case <-s.wake:
		return nil
	default:
	}
	stalled := time.NewTimer(c.ep.cfg.StallTimeout)
	defer stalled.Stop()
	select {
	case <-s.wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.closed:
		return ErrClosed
	case <-stalled.C:
		c.ep.stats.add(StreamsStalled, 1)
		return ErrStalled
	}
}

// sendDataLocked queues or writes a data frame and gives the writer's lock up.
func (c *Conn) sendDataLocked(s *sender, part []byte, more bool) error {
	if c.out.directLocked(part) {
		var head [32]byte
		buf, at := wire.Begin(head[:0])
		buf = wire.EndSplit(wire.AppendData(buf, s.id, more), at, len(part))
		s.endsLocked(c.out.queued+uint64(len(buf)+len(part)), more)
		return c.sent(c.out.writeDirectLocked(buf, part))
	}
	c.out.makeRoomLocked(len(part) + frameCost)
	from := len(c.out.buf)
	buf, at := wire.Begin(c.out.buf)
	buf = wire.AppendData(buf, s.id, more)
	c.out.buf = wire.End(append(buf, part...), at)
	s.endsLocked(c.out.queued+uint64(len(c.out.buf)-from), more)
	return c.sent(c.out.releaseLocked(from, byFlusher))
}

// endsLocked notes where the last part ends.
func (s *sender) endsLocked(at uint64, more bool) {
	if s.end != nil && !more {
		*s.end = at
	}
}

// addSender lets grants and cancels reach s.
func (c *Conn) addSender(s *sender) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.addSenderLocked(s)
}

func (c *Conn) addSenderLocked(s *sender) {
	if c.flow.senders == nil {
		c.flow.senders = make(map[uint64]*sender)
	}
	c.flow.senders[s.id] = s
}

// stopSender ends s for the given reason; whoever sends learns of it.
func (c *Conn) stopSender(s *sender, why error) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if s.err == nil {
		s.err = why
	}
	delete(c.flow.senders, s.id)
	if s.waits {
		s.waits = false
		c.flow.waiting = slices.DeleteFunc(c.flow.waiting, func(other *sender) bool { return other == s })
	}
	s.poke()
}

// granted handles a window frame. Credit for a stream that has ended meanwhile
// is of no use and no harm.
func (c *Conn) granted(id, credit uint64) error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	to := &c.flow.credit
	s := c.flow.senders[id]
	if id != 0 {
		if s == nil {
			return nil
		}
		to = &s.credit
	}
	if credit > maxCredit || *to+int64(credit) > maxCredit {
		return ErrWindowOverflow
	}
	*to += int64(credit)
	if s != nil {
		s.poke()
		return nil
	}
	for _, s := range c.flow.waiting {
		s.waits = false
		s.poke()
	}
	c.flow.waiting = c.flow.waiting[:0]
	return nil
}

// inflow accounts for data frames that arrive: what the peer may still send on
// the connection. It belongs to the reader.
//
// Invariant: left + owed is the connection's window.
type inflow struct {
	window int64
	left   int64 // what the peer may still send
	owed   int64 // arrived and not granted again
}

// arrived counts a data frame. It returns what is to be granted, if anything.
func (f *inflow) arrived(cost int64) (grant int64, err error) {
	f.left -= cost
	f.owed += cost
	if f.left < 0 {
		return 0, ErrWindowOverflow
	}
	if f.owed < f.window/2 {
		return 0, nil
	}
	grant = f.owed
	f.left += grant
	f.owed = 0
	return grant, nil
}

// grant gives the peer credit on a stream or, with id 0, on the connection.
func (c *Conn) grant(id uint64, credit int64, who release) {
	if credit == 0 {
		return
	}
	// Not subject to the queue's limit: the peer paid for it with data.
	c.out.mu.Lock()
	if c.out.err != nil {
		c.out.mu.Unlock()
		return
	}
	c.controlLocked(who, func(buf []byte) []byte { return wire.AppendWindow(buf, id, uint64(credit)) })
}
