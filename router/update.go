package router

import "slices"

// With returns the table of other members with the parameters of t: the same,
// to the last bit, as New gives, but in a fraction of the time when few members
// differ. t stays as it is. The errors are those of New.
//
// With one member more or less among 1,000, and 2^16 partitions, it takes a few
// milliseconds.
func (t *Table) With(members []Member) (*Table, error) {
	next, err := newTable(members, t.params)
	if err != nil {
		return nil, err
	}
	next.placed.Store(next.placeFrom(t))
	return next, nil
}

// placeFrom gives who holds what in t, by the changes from an old table if they
// are few.
func (t *Table) placeFrom(old *Table) *placement {
	u, few := newUpdate(old, t)
	if !few {
		return t.fill()
	}
	u.run()
	return u.finish()
}

// fewChanges is the largest part of the members, as a divisor, whose change is
// made step by step.
const fewChanges = 8

// update makes one table from another.
//
// Partitions and members rank each other by the same costs. So as long as some
// partition and some member would rather have each other than what they have (a
// blocking pair), letting them have each other is a step forward: it undoes pairs
// of a higher cost only, so the sorted list of all costs gets smaller in the order
// of dictionaries, and the steps come to an end. What has no blocking pair is the
// one stable matching, whatever the steps were.
//
// Invariants, between steps: each partition has a holder or is among the loose;
// one that has a holder is in the queue of each member that ranks before it
// (queues may hold others as well); nobody in the queue of a member who would
// rather be there is stronger than what the member holds, but for members among
// the vacant. Members with room come first, so that there are none when the loose
// ask: these ask from the first of their rank on, which puts them into all queues
// that they belong to.
//
// What a member holds may list partitions that have left for another holder: they
// are struck off all at once, before anybody looks (settle). So a member of which
// half the partitions leave takes time for its list once, not for each of them.
type update struct {
	old, next *Table
	was       *placement // in old
	holder    []int32    // by partition; -1: it is loose
	held      []holding  // by member; those in heaps are heaps, the others in no order
	heaps     []bool     // by member
	left      []bool     // by member: some of what it holds may have another holder now
	queue     [][]uint32
	loose     []uint32 // partitions without a holder
	vacant    []int    // members that may have room for somebody in their queue
	isVacant  []bool
}

// newUpdate takes over what stays from the old table. It is false if too much
// changes.
func newUpdate(old, next *Table) (*update, bool) {
	index := make([]int32, len(old.members)) // old to new; -1: gone, or another weight
	kept := 0
	for i, m := range old.members {
		index[i] = -1
		if at, ok := next.find(m.Name); ok && old.rank.weights[i] == next.rank.weights[at] {
			index[i] = int32(at)
			kept++
		}
	}
	changed := len(old.members) - kept + len(next.members) - kept
	if kept == 0 || changed > max(len(next.members)/fewChanges, 1) {
		return nil, false
	}
	n := len(next.members)
	u := &update{
		old: old, next: next, was: old.place(), holder: make([]int32, next.params.Partitions),
		held: make([]holding, n), heaps: make([]bool, n), left: make([]bool, n),
		queue: make([][]uint32, n), isVacant: make([]bool, n),
	}
	u.takeHeld(index)
	u.takeQueues(index)
	isNew := make([]bool, n)
	for i := range isNew {
		isNew[i] = true
	}
	for _, at := range index {
		if at >= 0 {
			isNew[at] = false
		}
	}
	for m, yes := range isNew {
		if yes {
			u.join(m)
		}
	}
	return u, true
}

// takeHeld gives every member what it held, and makes loose what nobody holds.
func (u *update) takeHeld(index []int32) {
	room := make([]uint32, len(u.held))
	copy(room, u.next.bounds)
	for i, at := range index {
		if at >= 0 {
			room[at] = max(room[at], u.was.counts[i])
		}
	}
	total := 0
	for _, r := range room {
		total += int(r)
	}
	backing := make([]bid, total)
	for m, r := range room {
		u.held[m], backing = backing[:0:r], backing[r:]
	}
	for p, was := range u.was.primary {
		m := index[was]
		u.holder[p] = m
		if m < 0 {
			u.loose = append(u.loose, uint32(p))
			continue
		}
		u.held[m] = append(u.held[m], bid{u.hash(uint32(p), int(m)), uint32(p)})
	}
	for m := range u.held {
		for len(u.held[m]) > int(u.next.bounds[m]) { // its bound became less
			u.push(m, u.drop(m))
		}
		if len(u.held[m]) < int(u.next.bounds[m]) {
			u.mark(m)
		}
	}
}

// takeQueues gives every member the partitions that it had turned down.
func (u *update) takeQueues(index []int32) {
	sizes := make([]int, len(u.queue))
	for _, r := range u.was.turned {
		if m := index[r.member]; m >= 0 {
			sizes[m]++
		}
	}
	total := 0
	for _, s := range sizes {
		total += s
	}
	backing := make([]uint32, total)
	for m, s := range sizes {
		own := u.queue[m] // what takeHeld has dropped
		u.queue[m], backing = backing[:0:s], backing[s:]
		u.queue[m] = append(u.queue[m], own...)
	}
	for _, r := range u.was.turned {
		if m := index[r.member]; m >= 0 {
			u.queue[m] = append(u.queue[m], r.partition)
		}
	}
}

// join has all partitions that would rather be with a new member queue there.
func (u *update) join(member int) {
	for p := range u.next.params.Partitions {
		if u.prefers(p, member) {
			u.queue[member] = append(u.queue[member], p)
		}
	}
	u.mark(member)
}

func (u *update) hash(partition uint32, member int) uint64 {
	return mix64(u.next.rank.seeds[member] ^ partitionSalt(partition))
}

// prefers tells whether a partition would rather be with a member than with its
// holder. A loose one has none, and will ask by itself.
func (u *update) prefers(partition uint32, member int) bool {
	holder := int(u.holder[partition])
	if holder == member || holder < 0 {
		return false
	}
	salt := partitionSalt(partition)
	if rank := &u.next.rank; rank.logs == nil {
		a, b := mix64(rank.seeds[member]^salt), mix64(rank.seeds[holder]^salt)
		return a > b || a == b && member < holder
	}
	a, b := u.next.rank.candidate(salt, member), u.next.rank.candidate(salt, holder)
	return a.before(&b)
}

// mark notes that a member may have room.
func (u *update) mark(member int) {
	if !u.isVacant[member] {
		u.isVacant[member] = true
		u.vacant = append(u.vacant, member)
	}
}

// run takes steps until nothing is left to do.
func (u *update) run() {
	for {
		switch {
		case len(u.vacant) > 0:
			m := u.vacant[len(u.vacant)-1]
			u.vacant, u.isVacant[m] = u.vacant[:len(u.vacant)-1], false
			u.invite(m)
		case len(u.loose) > 0:
			p := u.loose[len(u.loose)-1]
			u.loose = u.loose[:len(u.loose)-1]
			u.place(p)
		default:
			return
		}
	}
}

// place has a loose partition ask member after member in the order of its rank,
// until one takes it.
func (u *update) place(partition uint32) {
	var best [lookahead]candidate
	salt := partitionSalt(partition)
	for after := -1; ; {
		n := u.next.rank.next(salt, after, best[:])
		for _, c := range best[:n] {
			if u.offer(c.member, bid{c.hash, partition}) {
				return
			}
			u.queue[c.member] = append(u.queue[c.member], partition)
			after = c.member
		}
	}
}

// offer has a member take a bid if it has room or holds a weaker one, which is
// loose then.
func (u *update) offer(member int, b bid) bool {
	u.settle(member)
	if len(u.held[member]) >= int(u.next.bounds[member]) {
		if !u.heaps[member] {
			u.heapify(member)
		}
		if b.weaker(u.held[member][0]) {
			return false
		}
		u.push(member, u.drop(member))
	}
	u.take(member, b)
	return true
}

// push makes a partition loose that a member has dropped.
func (u *update) push(member int, b bid) {
	u.holder[b.partition] = -1
	u.loose = append(u.loose, b.partition)
	u.queue[member] = append(u.queue[member], b.partition)
}

func (u *update) heapify(member int) {
	h := u.held[member]
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.sink(i)
	}
	u.heaps[member] = true
}

// drop takes the weakest bid away from a member.
func (u *update) drop(member int) bid {
	if !u.heaps[member] {
		u.heapify(member)
	}
	h := u.held[member]
	weakest, last := h[0], len(h)-1
	h[0] = h[last]
	u.held[member] = h[:last]
	u.held[member].sink(0)
	return weakest
}

// take gives a member a bid, for which it has room.
func (u *update) take(member int, b bid) {
	h := append(u.held[member], b)
	for i := len(h) - 1; u.heaps[member] && i > 0 && h[i].weaker(h[(i-1)/2]); i = (i - 1) / 2 {
		h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
	}
	u.held[member] = h
	u.holder[b.partition] = int32(member)
}

// leave notes that a partition goes to another member, so that its holder has
// room. Whoever calls it gives the partition that other holder.
func (u *update) leave(partition uint32) {
	member := int(u.holder[partition])
	u.left[member] = true
	u.mark(member)
}

// settle strikes off what a member holds no more. A partition that comes back is
// not there twice, since nothing is added to a list before this.
func (u *update) settle(member int) {
	if !u.left[member] {
		return
	}
	u.left[member], u.heaps[member] = false, false
	u.held[member] = slices.DeleteFunc(u.held[member], func(b bid) bool { return int(u.holder[b.partition]) != member })
}

// invite fills the room of a member with the strongest of those in its queue who
// would rather be there, and drops from the queue those who would not.
func (u *update) invite(member int) {
	u.settle(member)
	room := int(u.next.bounds[member]) - len(u.held[member])
	if room <= 0 {
		return
	}
	var bids []bid
	for _, p := range u.queue[member] {
		if u.prefers(p, member) {
			bids = append(bids, bid{u.hash(p, member), p})
		}
	}
	if len(bids) > room {
		slices.SortFunc(bids, func(a, b bid) int {
			switch {
			case a == b:
				return 0
			case a.weaker(b):
				return 1
			}
			return -1
		})
		bids = slices.Compact(bids) // who came twice
	}
	taken := bids[:min(room, len(bids))]
	for _, b := range taken {
		if int(u.holder[b.partition]) != member { // it is, if it came twice
			u.leave(b.partition)
			u.take(member, b)
		}
	}
	u.queue[member] = u.queue[member][:0]
	for _, b := range bids[len(taken):] {
		u.queue[member] = append(u.queue[member], b.partition)
	}
}

// finish gives the matching in the form of a table.
func (u *update) finish() *placement {
	t := &placement{primary: make([]uint16, len(u.holder))}
	for p, m := range u.holder {
		t.primary[p] = uint16(m)
	}
	t.count(len(u.next.members))
	last := make([]int32, len(u.holder)) // who was the last to be listed for a partition
	for m, queue := range u.queue {
		for _, p := range queue {
			if last[p] != int32(m)+1 && u.prefers(p, m) {
				last[p] = int32(m) + 1
				t.turned = append(t.turned, refusal{p, uint16(m)})
			}
		}
	}
	t.turned = slices.Clone(t.turned) // no more memory than it needs: it is kept
	return t
}
