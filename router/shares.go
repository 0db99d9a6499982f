package router

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// printedMembers is how many members String prints: an even number.
const printedMembers = 16

// Share is what one member holds of a table.
type Share struct {
	Member
	// Partitions is the number of partitions whose primary is the member.
	Partitions int
	// Capacity is the bound on Partitions.
	Capacity int
	// Fraction is Partitions as a fraction of all, from 0 to 1.
	Fraction float64
	// Load is Partitions relative to the fair share for the member's weight:
	// 1 is exactly fair.
	Load float64
}

// Shares returns the share of every member, sorted by name. The slice is the
// caller's.
func (t *Table) Shares() []Share {
	var total uint64
	for _, w := range t.rank.weights {
		total += uint64(w)
	}
	all := float64(t.params.Partitions)
	counts := t.place().counts
	shares := make([]Share, len(t.members))
	for i, m := range t.members {
		held := float64(counts[i])
		fair := all * float64(t.rank.weights[i]) / float64(total)
		shares[i] = Share{
			Member:     m,
			Partitions: int(counts[i]),
			Capacity:   int(t.bounds[i]),
			Fraction:   held / all,
			Load:       held / fair,
		}
	}
	return shares
}

// Spread returns the load of the most loaded member, its partitions relative
// to its fair share: 1 is perfect balance. It is 0 for a table without members.
func (t *Table) Spread() float64 {
	var peak float64
	for _, s := range t.Shares() {
		peak = max(peak, s.Load)
	}
	return peak
}

// String describes the table in a few lines for people: its parameters,
// balance and fingerprint, and the shares of the members by name, or of the most
// and the least loaded if there are many. The form may change.
func (t *Table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "table %v: %d members, %d zones, %d partitions, slack %d permille, spread %.3f\n",
		t.fingerprint, len(t.members), t.zoneCount, t.params.Partitions, t.params.SlackPermille, t.Spread())
	shares := t.Shares()
	if len(shares) == 0 {
		return b.String()
	}
	left := 0
	if len(shares) > printedMembers {
		left = len(shares) - printedMembers
		slices.SortStableFunc(shares, func(a, b Share) int { return cmp.Compare(b.Load, a.Load) })
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MEMBER\tZONE\tWEIGHT\tPARTITIONS\tCAPACITY\tSHARE\tLOAD")
	for i, s := range shares {
		switch {
		case left > 0 && i == printedMembers/2:
			fmt.Fprintf(w, "(%d more)\t\t\t\t\t\t%.3f to %.3f\n", left, shares[i+left-1].Load, s.Load)
			continue
		case left > 0 && i > printedMembers/2 && i < printedMembers/2+left:
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%g\t%d\t%d\t%.2f%%\t%.3f\n",
			s.Name, s.Zone, s.Weight, s.Partitions, s.Capacity, 100*s.Fraction, s.Load)
	}
	w.Flush() // into memory: cannot fail
	return b.String()
}
