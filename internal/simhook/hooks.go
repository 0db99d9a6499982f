package simhook

import (
	"github.com/meshnode/meshnode/internal/planted"
	"github.com/meshnode/meshnode/router"
)

// Hooks are handed to a node by the simulator. A nil *Hooks changes nothing.
type Hooks struct {
	// Tables, if not nil, makes tables instead of each node making its own.
	Tables *Tables
	// Published, if not nil, is told each change of the node's table before the
	// node uses it. It must not use the node.
	Published func(old, next *router.Table)
	// Bugs are planted.
	Bugs planted.Bugs
}

// Planted gives the bugs of h, none for nil.
func (h *Hooks) Planted() planted.Bugs {
	if h == nil {
		return planted.Bugs{}
	}
	return h.Bugs
}

// With gives the table that old.With(members) gives.
func (h *Hooks) With(old *router.Table, members []router.Member) (*router.Table, error) {
	if h == nil || h.Tables == nil {
		return old.With(members)
	}
	return h.Tables.With(old, members)
}

// Publish tells whoever looks on that a node's table changes.
func (h *Hooks) Publish(old, next *router.Table) {
	if h != nil && h.Published != nil && old != next {
		h.Published(old, next)
	}
}

// Accounts tells whether changes of tables are to be accounted for.
func (h *Hooks) Accounts() bool { return h == nil || h.Tables == nil || !h.Tables.later.Load() }

// Diff gives what next.Diff(old) gives; the result is not to be changed.
func (h *Hooks) Diff(old, next *router.Table) (router.Moves, error) {
	if h == nil || h.Tables == nil {
		return next.Diff(old)
	}
	return h.Tables.Diff(old, next)
}
