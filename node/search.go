package node

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/meshnode/meshnode/router"
)

const (
	minClaimPause = 10 * time.Millisecond  // between rounds in which nothing changed, doubling up to
	maxClaimPause = 100 * time.Millisecond // this
	maxClaimHops  = 8                      // pointers that are followed in a row
	finalRounds   = 4                      // after the time is up
)

// search finds out who served partitions last that this node has just gained.
//
// Invariant: open are those that are not found; each that was has a record here.
type search struct {
	n      *Node
	v      *view
	open   []*wanted       // ascending
	silent map[string]bool // peers that did not answer
	plain  map[string]bool // peers without ownership hooks
	final  bool            // the time is up
}

// wanted is one partition that is searched for.
type wanted struct {
	partition uint32
	ask       string // who is asked next; empty: everybody
	hops      int
	via       termedAnswer // the pointer to ask, if there was one
	guess     string       // who owned it by the table before
	ended     chainEnd     // the last of the chain as far as is known, if it has ended
	seen      chainEnd     // the last owner by some table that others saw end
}

// chainEnd is a node that has ended; zero: none.
type chainEnd struct {
	process
	fate Fate
	term uint64
}

// later replaces e by another one that is later.
func (e *chainEnd) later(last process, fate Fate, term uint64) {
	if e.process == (process{}) || term > e.term {
		*e = chainEnd{last, fate, term}
	}
}

// resolveOwners makes this node the end of the chain of every partition of gained,
// within its patience. It returns false if the table changed meanwhile, or the node
// ends. before is the table before v's; nil if there was none.
func (n *Node) resolveOwners(v *view, before *router.Table, gained []uint32, patience time.Duration) bool {
	h := &n.handover
	select {
	case h.resolving <- struct{}{}:
		defer func() { <-h.resolving }()
	case <-n.ctx.Done():
		return false
	}
	s := &search{n: n, v: v, silent: make(map[string]bool), plain: make(map[string]bool)}
	s.begin(before, gained)
	deadline, pause, left := time.Now().Add(patience), minClaimPause, finalRounds
	for len(s.open) > 0 {
		progress := s.round()
		switch {
		case n.ctx.Err() != nil || n.view.Load().table != v.table:
			return false
		case s.final && (!progress || left == 0):
			s.giveUp()
		case s.final:
			left--
		case !time.Now().Before(deadline):
			s.final = true
		case progress:
			pause = minClaimPause
		default:
			s.wait(pause)
			pause = min(2*pause, maxClaimPause)
		}
	}
	return true
}

// wait waits for a change of the view, for a while.
func (s *search) wait(pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.n.view.Load().changed:
	case <-s.n.ctx.Done():
	}
}

// begin decides whom to ask first: the node to which this one has passed the
// partition on before, else the one that should have owned it before.
func (s *search) begin(before *router.Table, gained []uint32) {
	h, self := &s.n.handover, s.n.cfg.Name
	if before == nil || before.Len() == 0 {
		others := slices.DeleteFunc(s.v.table.Members(), func(m router.Member) bool { return m.Name == self })
		before, _ = s.v.table.With(others)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range gained {
		r, known := h.records[p]
		if known && (r.to == process{} || !r.taken && !s.v.lives(r.to)) {
			r.to = process{}
			h.records[p] = r
			continue
		}
		w := &wanted{partition: p, guess: before.Owner(p)}
		if w.guess == self {
			w.guess = ""
		}
		if _, live := s.v.peers[w.guess]; live {
			w.ask = w.guess
		}
		if known {
			s.follow(w, termedAnswer{claimAnswer{state: ClaimGone, node: r.to, fate: FateCrashed, taken: true}, r.term + 1})
		}
		s.open = append(s.open, w)
	}
}

// follow asks the node next to which a partition was passed on, or notes that it
// has ended. It returns false if the node that passed it on is to be asked again:
// the next one may have ended before it had it, and the former one has yet to
// notice, or this node has yet to hear of the next one.
func (s *search) follow(w *wanted, to termedAnswer) bool {
	switch ended, heard := s.ended(to); {
	case ended && to.taken:
		s.pass(w, to)
		w.ask = ""
	case ended || !heard:
		return false
	case w.hops >= maxClaimHops:
		w.ask = ""
		return false // they run in circles, until somebody's table changes
	default:
		w.ask, w.via = to.node.name, to
		w.hops++
	}
	return true
}

// ended reports whether the node to which a partition was passed on has ended or does
// not answer, and if not, whether this node has heard of it: news may come late.
func (s *search) ended(to termedAnswer) (ended, heard bool) {
	v := s.n.view.Load()
	switch {
	case s.silent[to.node.name]:
		return true, true
	case v.lives(to.node):
		return false, true
	}
	_, known := s.n.departed.end(v, to.node)
	return known || to.fate != FateMoved, known
}

// pass notes that the node to which a partition was passed on has ended.
func (s *search) pass(w *wanted, to termedAnswer) {
	fate, known := s.n.departed.end(s.n.view.Load(), to.node)
	switch {
	case s.silent[to.node.name]:
		fate = FateCrashed
	case !known: // it ended before this node came
		fate = to.fate
	}
	w.ended.later(to.node, fate, to.term)
}

// round asks once, and reports whether anything came of it.
func (s *search) round() (progress bool) {
	groups := make(map[string][]*wanted)
	for _, w := range s.open {
		groups[w.ask] = append(groups[w.ask], w)
	}
	names := slices.Sorted(maps.Keys(groups))
	answers := make([]*claimAnswers, len(names))
	var asking sync.WaitGroup
	for i, name := range names {
		if name != "" {
			asking.Go(func() { answers[i] = s.ask(name, groups[name], true) })
		}
	}
	asking.Wait()
	for i, name := range names {
		if name != "" {
			progress = s.heard(groups[name], answers[i]) || progress
		}
	}
	if everybody := groups[""]; len(everybody) > 0 {
		progress = s.askEverybody(everybody) || progress
	}
	h := &s.n.handover
	s.open = slices.DeleteFunc(s.open, func(w *wanted) bool { return h.here(w.partition) })
	return progress
}

// askEverybody asks all peers who has what nobody was found for, and decides whom
// to ask for it.
func (s *search) askEverybody(ws []*wanted) (progress bool) {
	var names []string
	for _, name := range s.n.view.Load().provenNames() {
		if name != s.n.cfg.Name && !s.silent[name] && !s.plain[name] {
			names = append(names, name)
		}
	}
	answers := make([]*claimAnswers, len(names))
	var asking sync.WaitGroup
	for i, name := range names {
		asking.Go(func() { answers[i] = s.ask(name, ws, false) })
	}
	asking.Wait()
	for _, a := range answers {
		s.note(a)
	}
	for _, w := range ws {
		progress = s.decide(w, answers) || progress
	}
	return progress
}

// decide follows the latest word about a partition, or concludes that its chain
// has ended. It reports whether it could.
func (s *search) decide(w *wanted, answers []*claimAnswers) bool {
	var best termedAnswer
	var ask string
	contested := false
	for _, a := range answers {
		answer, ok := a.by[w.partition]
		if !ok {
			continue
		}
		next := a.peer
		switch {
		case answer.state == ClaimEnded:
			w.seen.later(answer.node, answer.fate, answer.term)
			continue
		case answer.state == ClaimGone && s.over(w, answer):
			contested = contested || !answer.taken
			continue
		case answer.state == ClaimGone:
			next = answer.node.name
			if heard, nothing := saidNothing(answers, next, w.partition); heard {
				contested = contested || nothing && !answer.taken // it got lost on the way
				continue                                          // what that node says counts more
			}
			if !s.n.view.Load().lives(answer.node) { // its news comes late
				contested = true
				continue
			}
		case answer.state == ClaimBusy && answer.term == 0:
			contested = true
			continue
		}
		if ask == "" || answer.term > best.term {
			best, ask = answer, next
		}
	}
	switch {
	case ask != "" && (w.ended == chainEnd{} || best.term >= w.ended.term):
		w.ask = ask
		return best.state != ClaimBusy
	case contested && !s.final:
		return false
	}
	s.conclude(w)
	return true
}

// over reports whether the node to which a partition was passed on has ended, and
// notes it if that had it. If it had not, the former one has yet to notice.
func (s *search) over(w *wanted, to termedAnswer) bool {
	ended, _ := s.ended(to)
	if ended && to.taken {
		s.pass(w, to)
	}
	return ended
}

// saidNothing reports whether a peer has answered, and that it knows nothing of a
// partition.
func saidNothing(answers []*claimAnswers, name string, p uint32) (answered, nothing bool) {
	for _, a := range answers {
		if a.peer == name && a.err == nil {
			_, knows := a.by[p]
			return true, !knows
		}
	}
	return false, false
}

// conclude notes that nobody has a partition, unless the table has changed: whoever
// asked this node since was told that it has nothing.
func (s *search) conclude(w *wanted) {
	last := w.ended
	if a, at, ok := s.n.departed.owner(s.v, w.partition); ok {
		w.seen.later(a.node, a.fate, at)
	}
	if w.seen.term > last.term {
		last = w.seen
	}
	r := record{term: nextTerm(last.term)}
	v := s.n.view.Load()
	switch _, live := v.peers[w.guess]; {
	case w.ask != "":
		r.from, r.fate = w.ask, FateMoved
	case last != chainEnd{}:
		r.from, r.fate = last.name, last.fate
	case w.guess != "" && !live:
		r.from, r.fate = w.guess, s.n.departed.fate(v, w.guess)
	case s.silent[w.guess]:
		r.from, r.fate = w.guess, FateCrashed
	case s.plain[w.guess]:
		r.from, r.fate = w.guess, FateMoved
	}
	s.n.handover.conclude(s.n, s.v, w.partition, r)
}

// giveUp concludes everything: nobody is waited for any longer.
func (s *search) giveUp() {
	s.n.log.Warn().Int("partitions", len(s.open)).Msg("it stays unknown who served partitions before: their former owners do not answer")
	for _, w := range s.open {
		s.conclude(w)
	}
	s.open = nil
}
