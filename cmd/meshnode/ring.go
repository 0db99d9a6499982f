package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/node"
)

const ringLong = `Shows how the keys are divided among the members, by the table of the node that
is asked, and what the last changes of the table moved.

LOAD is what a member holds relative to its fair share: 1 is exactly fair. SPREAD
is the largest load of all. CAPACITY bounds the partitions of a member. Of the
partitions that a change moved, REQUIRED had to move: they were those of a member
that left, or became those of one that joined.

Of many members only the most and the least loaded are shown; --all shows all.`

func newRing(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "ring",
		Short: "Show how keys are divided, and what the last changes moved",
		Long:  ringLong,
		Example: `  meshnode ring
  meshnode ring --addr 10.0.0.7:7101 -o json | jq .spread`,
		Args: noArgs,
		RunE: action(func(ctx context.Context, _ *cobra.Command, _ []string) error { return a.ring(ctx, all) }),
	}
	a.addrFlag(cmd, anyAddr)
	cmd.Flags().BoolVar(&all, "all", false, "show all members")
	a.outputFlag(cmd)
	return cmd
}

func (a *app) ring(ctx context.Context, all bool) error {
	c, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	reply, err := node.Ring.Call(ctx, c, &node.RingRequest{})
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(reply)
	}
	return a.printLines(ringLines(reply, all, time.Now())...)
}

// shownShares is how many members ring shows at each end.
const shownShares = 8

// ringLines is a table for people.
func ringLines(r *node.RingReply, all bool, now time.Time) []string {
	lines := []string{fmt.Sprintf("table %s of %s: %s, %s partitions, slack %d‰, spread %.3f, %s KiB",
		r.Fingerprint, r.Node, plural(len(r.Shares), "owner", "owners"), thousands(int64(r.Partitions)), r.Slack, r.Spread,
		thousands((r.Bytes+1023)/1024))}
	shares := slices.Clone(r.Shares)
	cut := !all && len(shares) > 2*shownShares
	if cut {
		slices.SortStableFunc(shares, func(a, b node.ShareInfo) int { return cmp.Compare(b.Load, a.Load) })
	}
	t := newTable("NAME", "ZONE", ">WEIGHT", ">PARTITIONS", ">CAPACITY", ">SHARE", ">LOAD", "")
	most := 0.0
	for _, s := range shares {
		most = max(most, s.Fraction)
	}
	for i, s := range shares {
		switch {
		case cut && i == shownShares:
			t.add(fmt.Sprintf("… %s more", thousands(len(shares)-2*shownShares)), "", "", "", "", "", "", "")
			continue
		case cut && i > shownShares && i < len(shares)-shownShares:
			continue
		}
		t.add(s.Name, dash(oneLine(s.Zone)), strconv.FormatFloat(s.Weight, 'f', -1, 64), thousands(s.Partitions),
			thousands(s.Capacity), percent(s.Fraction), fmt.Sprintf("%.3f", s.Load), bar(s.Fraction/max(most, 1e-9)/2, barWidth))
	}
	lines = append(lines, t.lines()...)
	if len(r.Changes) == 0 {
		return lines
	}
	changes := newTable(">AGO", ">OWNERS", ">MOVED", ">REQUIRED", ">RATIO", "WHAT", "TABLE")
	for _, c := range slices.Backward(r.Changes) {
		ratio := "-"
		if c.Required > 0 {
			ratio = fmt.Sprintf("%.2f", float64(c.Moved)/float64(c.Required))
		}
		changes.add(age(now.Sub(c.At).Seconds()), fmt.Sprint(c.Owners), thousands(c.Moved), thousands(c.Required), ratio, whoChanged(&c), c.New)
	}
	return append(append(lines, "", "the last changes of its table:"), changes.lines()...)
}
