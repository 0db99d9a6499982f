package router

// turned is who has turned down which partition: for each partition, all
// members that rank before its primary. It is what an update needs to know that
// would cost a scan of all pairs to find out, and nothing else looks at it.
//
// Invariant: the lists are complete, hold nobody twice, and are in no order.
type turned struct {
	start []uint32 // by partition, where its list begins in by; one more at the end
	by    []uint16 // members
}

// of gives the list of a partition.
func (t *turned) of(partition uint32) []uint16 {
	return t.by[t.start[partition]:t.start[partition+1]]
}

// refusal is one member that turned one partition down.
type refusal struct {
	partition uint32
	member    uint16
}

// sortRefusals makes the lists of refusals in any order, without repetitions.
func sortRefusals(all []refusal, partitions uint32) turned {
	t := turned{start: make([]uint32, partitions+1), by: make([]uint16, len(all))}
	for _, r := range all {
		t.start[r.partition+1]++
	}
	for p := range partitions {
		t.start[p+1] += t.start[p]
	}
	next := make([]uint32, partitions)
	copy(next, t.start)
	for _, r := range all {
		t.by[next[r.partition]] = r.member
		next[r.partition]++
	}
	return t
}

// Memory is about what the table takes, in bytes, besides the names of members.
func (t *Table) Memory() int {
	const perMember = 40 + 8 + 4 + 2 + 4 + 4 // Member, seed, weight, zone, bound, count
	return 2*len(t.primary) + 4*len(t.turned.start) + 2*len(t.turned.by) + perMember*len(t.members)
}
