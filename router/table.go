package router

import (
	"math/bits"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// Table says who owns each partition of the key space. It is immutable.
type Table struct {
	params      Params
	shift       uint8 // from a hash of 64 bits to a partition
	members     []Member
	rank        ranking
	zones       []uint16 // by member, the index of its zone
	zoneCount   int
	bounds      []uint32 // by member, the most partitions that it may hold
	fingerprint Fingerprint
	placed      atomic.Pointer[placement] // nil while nobody has asked a table made by Later
	later       *later                    // nil in other tables
}

// placement is who holds what. It is immutable.
type placement struct {
	counts  []uint32 // by member, the partitions that it holds
	primary []uint16 // by partition, the index of its member; empty without members
	turned  []refusal
}

// New returns the table of a set of members. It depends on nothing else: not
// on the order of members, nor on any earlier table. The slice stays the
// caller's. No members give a table without owners.
//
// The error, if any, is ErrNoName, ErrDuplicateName, ErrWeight,
// ErrTooManyMembers, ErrPartitions or ErrSlack, with details.
//
// The time grows with members times partitions, at a few nanoseconds each.
func New(members []Member, params Params) (*Table, error) {
	t, err := newTable(members, params)
	if err != nil {
		return nil, err
	}
	t.placed.Store(t.fill())
	return t, nil
}

// newTable gives a table that lacks its owners.
func newTable(members []Member, params Params) (*Table, error) {
	if err := params.Validate(); err != nil {
		return nil, err
	}
	sorted, weights, err := normalise(members)
	if err != nil {
		return nil, err
	}
	t := &Table{params: params.WithDefaults(), members: sorted}
	t.shift = uint8(64 - bits.TrailingZeros32(t.params.Partitions))
	t.zones, t.zoneCount = indexZones(sorted)
	t.rank = newRanking(sorted, weights)
	t.fingerprint = fingerprint(sorted, weights, t.params)
	if len(sorted) > 0 {
		t.bounds = capacities(weights, t.params)
	}
	return t, nil
}

// fill gives every partition its owner, from scratch.
func (t *Table) fill() *placement {
	p := &placement{}
	if len(t.members) > 0 {
		p.primary, p.turned = match(&t.rank, t.bounds, t.params.Partitions)
		p.count(len(t.members))
	}
	return p
}

// count counts what every member holds.
func (p *placement) count(members int) {
	p.counts = make([]uint32, members)
	for _, m := range p.primary {
		p.counts[m]++
	}
}

// place gives who holds what.
func (t *Table) place() *placement {
	if p := t.placed.Load(); p != nil {
		return p
	}
	return t.placeNow()
}

// indexZones numbers the zones of members in order of appearance. It returns
// the number of each member's zone and how many zones there are.
func indexZones(members []Member) ([]uint16, int) {
	known := make(map[string]uint16)
	zones := make([]uint16, len(members))
	for i, m := range members {
		zone, ok := known[m.Zone]
		if !ok {
			zone = uint16(len(known))
			known[m.Zone] = zone
		}
		zones[i] = zone
	}
	return zones, len(known)
}

// Partition returns the partition of a key: the leading bits of its xxhash64.
func (t *Table) Partition(key string) uint32 {
	return uint32(xxhash.Sum64String(key) >> t.shift)
}

// PartitionBytes is Partition for a key in a byte slice, which it does not keep.
func (t *Table) PartitionBytes(key []byte) uint32 {
	return uint32(xxhash.Sum64(key) >> t.shift)
}

// Owner returns the name of the primary owner of a partition. It is empty if
// the table has no members, or no such partition.
func (t *Table) Owner(partition uint32) string {
	primary := t.place().primary
	if uint64(partition) >= uint64(len(primary)) {
		return ""
	}
	return t.members[primary[partition]].Name
}

// Lookup returns the partition of a key and the name of its primary owner,
// which is empty if the table has no members.
func (t *Table) Lookup(key string) (partition uint32, owner string) {
	partition = t.Partition(key)
	return partition, t.Owner(partition)
}

// LookupBytes is Lookup for a key in a byte slice, which it does not keep.
func (t *Table) LookupBytes(key []byte) (partition uint32, owner string) {
	partition = t.PartitionBytes(key)
	return partition, t.Owner(partition)
}

// Len returns the number of members.
func (t *Table) Len() int { return len(t.members) }

// Params returns the parameters, with defaults in place of zeros.
func (t *Table) Params() Params { return t.params }

// Members returns the members sorted by name, with weights as rounded. The
// slice is a copy and the caller's.
func (t *Table) Members() []Member { return slices.Clone(t.members) }

// Member returns the member of a name, with its weight as rounded, and whether
// there is one.
func (t *Table) Member(name string) (Member, bool) {
	i, ok := t.find(name)
	if !ok {
		return Member{}, false
	}
	return t.members[i], true
}

// Has reports whether a member has that name.
func (t *Table) Has(name string) bool {
	_, ok := t.find(name)
	return ok
}

// Capacity returns the bound on the partitions of a member:
// partitions * weight / total weight * (1 + slack), rounded to the nearest, at
// least 1; rounded up if those do not suffice together. It is 0 for a name
// that is not in the table.
func (t *Table) Capacity(name string) int {
	i, ok := t.find(name)
	if !ok {
		return 0
	}
	return int(t.bounds[i])
}

// Owned returns the partitions whose primary owner is the member of a name,
// in ascending order, and nil for a name that is not in the table. The slice
// is the caller's.
func (t *Table) Owned(name string) []uint32 {
	i, ok := t.find(name)
	if !ok {
		return nil
	}
	place := t.place()
	owned := make([]uint32, 0, place.counts[i])
	for p, m := range place.primary {
		if int(m) == i {
			owned = append(owned, uint32(p))
		}
	}
	return owned
}

// find returns the index of the member of a name, and whether there is one.
func (t *Table) find(name string) (int, bool) {
	return slices.BinarySearchFunc(t.members, name, func(m Member, name string) int {
		return strings.Compare(m.Name, name)
	})
}
