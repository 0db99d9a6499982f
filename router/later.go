package router

import "sync"

// later is what a table made by Later finds its owners from.
//
// Invariant: from is a table whose owners are known, and nil once those of the
// table itself are.
type later struct {
	mu   sync.Mutex
	from *Table
}

// Later is With, but the owners are found when somebody first asks for them: for
// programs that make many tables and look into few, such as a simulator of many
// nodes. The fingerprint and the members are there at once.
func (t *Table) Later(members []Member) (*Table, error) {
	next, err := newTable(members, t.params)
	if err != nil {
		return nil, err
	}
	next.later = &later{from: t.known()}
	return next, nil
}

// known gives the latest table on the way to t whose owners are known.
func (t *Table) known() *Table {
	if t.placed.Load() != nil {
		return t
	}
	t.later.mu.Lock()
	defer t.later.mu.Unlock()
	if t.later.from == nil {
		return t
	}
	return t.later.from
}

// placeNow finds the owners of a table made by Later, once.
func (t *Table) placeNow() *placement {
	t.later.mu.Lock()
	defer t.later.mu.Unlock()
	if p := t.placed.Load(); p != nil {
		return p
	}
	p := t.placeFrom(t.later.from)
	t.placed.Store(p)
	t.later.from = nil
	return p
}
