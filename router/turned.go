package router

// refusal says that a member has turned a partition down: the partition would
// rather be there than with its primary, but the member is full of stronger ones.
//
// A table keeps all of its refusals, each once and in no order. They are what an
// update needs to know that would cost a scan of all pairs to find out, and nothing
// else looks at them. There are few: with the default slack, one for every 25
// partitions when these are 65 to a member, and fewer when they are more.
type refusal struct {
	partition uint32
	member    uint16
}

// Memory is about what the table takes, in bytes, besides the names of members.
func (t *Table) Memory() int {
	const perMember = 40 + 8 + 4 + 2 + 4 + 4 // Member, seed, weight, zone, bound, count
	const perRefusal = 8
	p := t.place()
	return 2*len(p.primary) + perRefusal*len(p.turned) + perMember*len(t.members)
}
