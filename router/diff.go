package router

import (
	"errors"
	"fmt"
)

// ErrPartitionsDiffer tells that two tables divide the key space differently,
// so that a partition of one has no counterpart in the other.
var ErrPartitionsDiffer = errors.New("router: tables have different numbers of partitions")

// Move is a partition whose primary owner changed. From or To is empty if the
// partition had or has no owner, and they are never equal.
type Move struct {
	Partition uint32
	From, To  string
}

// Moves is a list of moves in ascending order of partition.
type Moves []Move

// Diff returns the partitions whose primary owner in t is not the one in old.
// An old table of nil stands for a table without members, in which every
// partition is without an owner. The slice is the caller's.
//
// The error is ErrPartitionsDiffer, with details, if the tables have different
// numbers of partitions. Every key may then have moved.
func (t *Table) Diff(old *Table) (Moves, error) {
	if old == nil {
		old = &Table{params: t.params}
		old.placed.Store(&placement{})
	}
	if t.params.Partitions != old.params.Partitions {
		return nil, fmt.Errorf("%w: %d, before %d", ErrPartitionsDiffer, t.params.Partitions, old.params.Partitions)
	}
	kept := t.indexOf(old.members)
	was, is := old.place().primary, t.place().primary
	var moves Moves
	for p := range t.params.Partitions {
		if len(is) > 0 && len(was) > 0 && kept[was[p]] == int(is[p]) {
			continue
		}
		if from, to := old.Owner(p), t.Owner(p); from != to {
			moves = append(moves, Move{Partition: p, From: from, To: to})
		}
	}
	return moves, nil
}

// indexOf returns for each member of another table its index in t, or -1.
func (t *Table) indexOf(members []Member) []int {
	index := make([]int, len(members))
	for i, m := range members {
		index[i] = -1
		if at, ok := t.find(m.Name); ok {
			index[i] = at
		}
	}
	return index
}

// Gained returns the partitions that moved to the member of a name, in
// ascending order. The slice is the caller's.
func (m Moves) Gained(name string) []uint32 {
	var gained []uint32
	for _, move := range m {
		if move.To == name {
			gained = append(gained, move.Partition)
		}
	}
	return gained
}

// Lost returns the partitions that moved away from the member of a name, in
// ascending order. The slice is the caller's.
func (m Moves) Lost(name string) []uint32 {
	var lost []uint32
	for _, move := range m {
		if move.From == name {
			lost = append(lost, move.Partition)
		}
	}
	return lost
}
