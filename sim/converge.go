package sim

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/meshnode/meshnode/router"
)

// convergePoll is how often WaitConverged looks.
const convergePoll = 20 * time.Millisecond

// WaitConverged waits until all nodes that run, and are not frozen, have joined
// and route by the same table, which holds exactly them. It tells how long that
// took. The error says who differs when ctx ends.
func (c *Cluster) WaitConverged(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	for {
		why := c.Disagreement()
		if why == "" {
			return time.Since(start), nil
		}
		select {
		case <-time.After(convergePoll):
		case <-ctx.Done():
			return time.Since(start), fmt.Errorf("sim: not converged after %v: %s", time.Since(start), why)
		}
	}
}

// Disagreement returns what keeps the nodes that run, and are not frozen, from routing by
// one table that holds exactly them, and their present lives: a table is the same before
// and after a restart. It is empty if nothing does.
func (c *Cluster) Disagreement() string {
	tables := map[router.Fingerprint][]string{}
	digests := map[uint64][]string{}
	var last *router.Table
	running := 0
	for i := range c.Len() {
		m := c.Member(i)
		n := c.Node(i)
		if n == nil || m.Paused() {
			continue
		}
		if !m.observes() {
			running++
		}
		if ready, why := n.Ready(); !ready {
			return fmt.Sprintf("%s is not ready: %s", m.Name, why)
		}
		last = n.Table()
		tables[last.Fingerprint()] = append(tables[last.Fingerprint()], m.Name)
		digest := n.Members().Digest
		digests[digest] = append(digests[digest], m.Name)
	}
	switch {
	case len(tables) > 1:
		return "tables differ: " + describeCamps(tables)
	case last != nil && last.Len() != running:
		return fmt.Sprintf("all tables have %d owners, but %d nodes run", last.Len(), running)
	case len(digests) > 1:
		return "all have one table, but know different lives or states of its members: " + describeCamps(digests)
	}
	return ""
}

// describeCamps says who has which table, or digest of members, the smallest camps first.
func describeCamps[K ~uint64](tables map[K][]string) string {
	camps := make([]string, 0, len(tables))
	for f, names := range tables {
		sort.Strings(names)
		if len(names) > 3 {
			names = append(names[:3:3], fmt.Sprintf("%d others", len(names)-3))
		}
		camps = append(camps, fmt.Sprintf("%016x at %s", uint64(f), strings.Join(names, ", ")))
	}
	sort.Slice(camps, func(i, j int) bool { return len(camps[i]) < len(camps[j]) })
	if len(camps) > 4 {
		camps = append(camps[:4:4], fmt.Sprintf("%d others", len(camps)-4))
	}
	return strings.Join(camps, "; ")
}
