package simhook

import (
	"sync"
	"sync/atomic"

	"github.com/meshnode/meshnode/router"
)

// Tables makes each ownership table once for all nodes that share it. A table is a
// pure function of the members and the parameters, so that sharing changes nothing
// but the time and the memory that it takes.
//
// Invariant: tables and moves hold the latest keepTables and keepMoves made, each
// under what it was made of.
type Tables struct {
	later atomic.Bool

	mu     sync.Mutex
	tables map[router.Fingerprint]*router.Table
	order  []router.Fingerprint
	moves  map[change]router.Moves
	recent []change

	made, asked int
}

type change struct{ from, to router.Fingerprint }

const (
	keepTables = 1024
	keepMoves  = 1024
)

// NewTables gives tables that were not made yet.
func NewTables() *Tables {
	return &Tables{tables: map[router.Fingerprint]*router.Table{}, moves: map[change]router.Moves{}}
}

// Later has owners found when they are first asked for, from now on, and nodes
// leave out the accounts of what a change moved: for many nodes, of which each sees
// another set of members during a join.
func (t *Tables) Later() { t.later.Store(true) }

// With gives the table that old.With(members) gives.
func (t *Tables) With(old *router.Table, members []router.Member) (*router.Table, error) {
	fp, err := router.FingerprintOf(members, old.Params())
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked++
	if table := t.tables[fp]; table != nil {
		return table, nil
	}
	make := old.With
	if t.later.Load() {
		make = old.Later
	}
	table, err := make(members)
	if err != nil {
		return nil, err
	}
	t.made++
	t.tables[fp] = table
	if t.order = append(t.order, fp); len(t.order) > keepTables {
		delete(t.tables, t.order[0])
		t.order = t.order[1:]
	}
	return table, nil
}

// Diff gives what next.Diff(old) gives. The moves are shared.
func (t *Tables) Diff(old, next *router.Table) (router.Moves, error) {
	key := change{old.Fingerprint(), next.Fingerprint()}
	t.mu.Lock()
	defer t.mu.Unlock()
	if moves, ok := t.moves[key]; ok {
		return moves, nil
	}
	moves, err := next.Diff(old)
	if err != nil {
		return nil, err
	}
	t.moves[key] = moves
	if t.recent = append(t.recent, key); len(t.recent) > keepMoves {
		delete(t.moves, t.recent[0])
		t.recent = t.recent[1:]
	}
	return moves, nil
}

// Counts tells how many tables were asked for, and how many of these were made.
func (t *Tables) Counts() (asked, made int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.asked, t.made
}
