package transport

import (
	"context"
	"sync"
)

// serving are the calls of one connection that are being served: a ring of
// slots indexed by sequence number, like pending. Here the peer picks the ids,
// and one whose slot is taken goes into a map.
//
// Invariant: ids of admitted calls only grow, so lastID in a goaway divides
// those that run from those that never will. Of the latter, more may still come
// until the peer has read the goaway.
type serving struct {
	mu       sync.Mutex
	slots    []*Incoming
	spill    map[uint64]*Incoming
	oneWay   map[*Incoming]struct{}
	n        int    // calls and one-way calls
	inline   bool   // the reader serves inline calls whose replies may not be queued yet
	lastID   uint64 // the last that was admitted, or refused one by one
	seen     uint64 // the last that came at all
	odd      uint64 // lowest bit of the peer's ids
	stopped  bool
	idleness chan struct{} // closed when stopped and empty
}

func (s *serving) init() { s.idleness = make(chan struct{}) }

// admit registers a call. One that runs inline is not: nothing can reach it
// while the reader is busy with it, and inline stands for all of a batch. Errors: ErrTooManyCalls,
// ErrShutdown, ErrDuplicateID, ErrWrongSide.
func (s *serving) admit(in *Incoming, limit int, inline bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.nextLocked(in); err != nil {
		return err
	}
	if s.n >= limit {
		return ErrTooManyCalls
	}
	if s.inline = s.inline || inline; !inline {
		s.n++
		s.putLocked(in)
	}
	return nil
}

// adopt registers a call in place of an inline one that is being served.
func (s *serving) adopt(in *Incoming) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	s.putLocked(in)
}

// inlineDone says that the replies of all inline calls so far are queued. left
// tells whether anything else is being served.
func (s *serving) inlineDone() (last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last = s.inline && s.n == 0
	s.inline = false
	s.settledLocked()
	return last
}

// skip notes the id of a call that is refused without being registered, and
// gives an error if it is one that cannot be.
func (s *serving) skip(in *Incoming) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nextLocked(in)
}

// nextLocked takes the id of a new call.
func (s *serving) nextLocked(in *Incoming) error {
	switch {
	case !in.oneWay && in.id <= s.seen:
		return ErrDuplicateID
	case !in.oneWay && in.id&1 != s.odd:
		return ErrWrongSide
	}
	if !in.oneWay {
		s.seen = in.id
	}
	if s.stopped {
		return ErrShutdown
	}
	if !in.oneWay {
		s.lastID = in.id
	}
	return nil
}

func (s *serving) putLocked(in *Incoming) {
	if in.oneWay {
		if s.oneWay == nil {
			s.oneWay = make(map[*Incoming]struct{})
		}
		s.oneWay[in] = struct{}{}
		return
	}
	if 2*s.n > len(s.slots) {
		s.growLocked()
	}
	slot := &s.slots[s.indexOf(in.id)]
	if *slot == nil {
		*slot = in
		return
	}
	if s.spill == nil {
		s.spill = make(map[uint64]*Incoming)
	}
	s.spill[in.id] = in
}

func (s *serving) indexOf(id uint64) uint64 { return sequence(id) & uint64(len(s.slots)-1) }

// growLocked doubles the ring. Distinct slots stay distinct.
func (s *serving) growLocked() {
	old := s.slots
	s.slots = make([]*Incoming, max(minSlots, 2*len(old)))
	for _, in := range old {
		if in != nil {
			s.slots[s.indexOf(in.id)] = in
		}
	}
}

// findLocked gives the call of id, or nil.
func (s *serving) findLocked(id uint64) *Incoming {
	if len(s.slots) == 0 {
		return nil
	}
	if in := s.slots[s.indexOf(id)]; in != nil && in.id == id {
		return in
	}
	return s.spill[id]
}

// done takes a call off and gives how many are left.
func (s *serving) done(in *Incoming) (left int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(in)
	return s.n
}

func (s *serving) removeLocked(in *Incoming) {
	s.n--
	if in.oneWay {
		delete(s.oneWay, in)
	} else {
		if slot := &s.slots[s.indexOf(in.id)]; *slot == in {
			*slot = nil
		} else {
			delete(s.spill, in.id)
		}
	}
}

// settled tells drain that the last reply is queued.
func (s *serving) settled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settledLocked()
}

func (s *serving) settledLocked() {
	if !s.stopped || s.n > 0 || s.inline {
		return
	}
	select {
	case <-s.idleness:
	default:
		close(s.idleness)
	}
}

// stop admits no more calls and gives the last id that was admitted.
func (s *serving) stop() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.settledLocked()
	return s.lastID
}

// idle is closed once stop was called and no call is left.
func (s *serving) idle() <-chan struct{} { return s.idleness }

func (s *serving) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n == 0 && !s.inline
}

// bind makes ctx the context of a call, or ends it if the call was cancelled
// before it had one.
func (s *serving) bind(in *Incoming, ctx *CallContext) {
	if in.inline {
		in.ctx = ctx
		return
	}
	s.mu.Lock()
	in.ctx = ctx
	why := in.cancelled
	s.mu.Unlock()
	if why != nil {
		ctx.end(why)
	}
}

// rest lets go of a ring that grew in a burst and holds nothing any more.
func (s *serving) rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n == 0 && !s.inline {
		s.slots = nil
	}
}

// start marks a call whose body is complete, or none was to come, as run by
// somebody. It gives nil if it was abandoned before.
func (s *serving) start(id uint64) *Incoming {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.findLocked(id)
	if in != nil {
		in.started = true
	}
	return in
}

// cancel ends one call, if it is still being served. One that has not started
// is taken off; abandoned is true then.
func (s *serving) cancel(id uint64, why error) (abandoned *Incoming) {
	s.mu.Lock()
	in := s.findLocked(id)
	if in == nil {
		s.mu.Unlock()
		return nil
	}
	if !in.started {
		s.removeLocked(in)
		s.mu.Unlock()
		return in
	}
	e := in.endLocked(why)
	s.mu.Unlock()
	e.tell(why, why)
	return nil
}

// drop takes off a call that has not started.
func (s *serving) drop(id uint64) *Incoming {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.findLocked(id)
	if in == nil || in.started {
		return nil
	}
	s.removeLocked(in)
	return in
}

// stalled gives the ids of calls whose bodies have not grown since tick.
func (s *serving) stalled(tick int64) (ids []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eachLocked(func(in *Incoming) {
		if !in.started && in.parts.tick.Load() < tick {
			ids = append(ids, in.id)
		}
	})
	return ids
}

func (s *serving) eachLocked(f func(*Incoming)) {
	for _, in := range s.slots {
		if in != nil {
			f(in)
		}
	}
	for _, in := range s.spill {
		f(in)
	}
	for in := range s.oneWay {
		f(in)
	}
}

// closeAll ends the contexts of all calls, and their streams for the given reason. It returns
// those calls that had not started, which are taken off.
func (s *serving) closeAll(why error) (abandoned []*Incoming) {
	s.mu.Lock()
	s.stopped = true
	var ends []ending
	s.eachLocked(func(in *Incoming) {
		if in.started {
			ends = append(ends, in.endLocked(context.Canceled))
		} else {
			abandoned = append(abandoned, in)
		}
	})
	for _, in := range abandoned {
		s.removeLocked(in)
	}
	s.mu.Unlock()
	for _, e := range ends {
		e.tell(context.Canceled, why)
	}
	return abandoned
}

// ending is what is to be told that a call ends.
type ending struct {
	ctx    *CallContext
	stream *Stream
}

// endLocked notes that a call ends. The lock of serving is held.
func (in *Incoming) endLocked(why error) ending {
	if in.cancelled == nil {
		in.cancelled = why
	}
	return ending{in.ctx, in.stream}
}

// tell ends the stream before the context, by which the handler may learn of it first.
func (e ending) tell(why, streamWhy error) {
	if e.stream != nil {
		e.stream.fail(streamWhy)
	}
	if e.ctx != nil {
		e.ctx.end(why)
	}
}
