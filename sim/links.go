package sim

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/meshnode/meshnode/internal/simnet"
)

// hostPort is where a node at addr listens.
func hostPort(addr netip.Addr) string {
	return netip.AddrPortFrom(addr, meshPort).String()
}

// Partition cuts the network into groups of nodes that do not reach each other.
// Nodes that are in no group, clients too, are on the side of the first one. It
// comes on top of earlier partitions; Heal ends all of them.
func (c *Cluster) Partition(groups ...[]int) {
	side := func(h *simnet.Host) int {
		for k, g := range groups {
			for _, i := range g {
				if c.Member(i).host == h {
					return k
				}
			}
		}
		return 0
	}
	sides := map[*simnet.Host]int{}
	for _, h := range c.net.Hosts() {
		sides[h] = side(h)
	}
	c.cut(func(from, to *simnet.Host) bool { return sides[from] != sides[to] })
}

// Isolate cuts a node off from all others.
func (c *Cluster) Isolate(i int) {
	h := c.Member(i).host
	c.cut(func(from, to *simnet.Host) bool { return (from == h) != (to == h) })
}

func (c *Cluster) cut(match func(from, to *simnet.Host) bool) {
	id := c.net.AddRule(simnet.Rule{Match: match, Apply: func(l *Link) { l.Cut = true }})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cuts = append(c.cuts, id)
}

// Heal ends all partitions. Links changed by Link and OneWay stay as they are.
func (c *Cluster) Heal() {
	c.mu.Lock()
	cuts := c.cuts
	c.cuts = nil
	c.mu.Unlock()
	for _, id := range cuts {
		c.net.RemoveRule(id)
	}
}

// Rule is a change of links that can be taken back.
type Rule struct {
	cluster *Cluster
	id      simnet.RuleID
}

// Remove takes the change back.
func (r Rule) Remove() { r.cluster.net.RemoveRule(r.id) }

// Change changes the links from some nodes to others, in this direction, until
// the Rule is removed. A nil slice stands for all hosts, clients too.
func (c *Cluster) Change(from, to []int, apply func(*Link)) Rule {
	match := func(set []int) func(*simnet.Host) bool {
		if set == nil {
			return func(*simnet.Host) bool { return true }
		}
		hosts := make(map[*simnet.Host]bool, len(set))
		for _, i := range set {
			hosts[c.Member(i).host] = true
		}
		return func(h *simnet.Host) bool { return hosts[h] }
	}
	a, b := match(from), match(to)
	id := c.net.AddRule(simnet.Rule{
		Match: func(x, y *simnet.Host) bool { return x != y && a(x) && b(y) }, Apply: apply,
	})
	return Rule{c, id}
}

// LinkControl changes the links between two nodes. Its methods give it back, so
// that changes can be strung together.
type LinkControl struct {
	c     *Cluster
	pairs [][2]int
}

// Link gives the links between two nodes, both directions.
func (c *Cluster) Link(a, b int) *LinkControl { return &LinkControl{c, [][2]int{{a, b}, {b, a}}} }

// OneWay gives the link from one node to another, this direction only.
func (c *Cluster) OneWay(from, to int) *LinkControl { return &LinkControl{c, [][2]int{{from, to}}} }

// Set makes the links what apply makes of them, on top of what they are.
func (l *LinkControl) Set(apply func(*Link)) *LinkControl {
	for _, p := range l.pairs {
		l.c.Change(p[:1], p[1:], apply)
	}
	return l
}

// Loss has packets get lost with a probability of 0 to 1.
func (l *LinkControl) Loss(p float64) *LinkControl { return l.Set(func(s *Link) { s.Loss = p }) }

// Duplicate has packets arrive twice with a probability of 0 to 1.
func (l *LinkControl) Duplicate(p float64) *LinkControl {
	return l.Set(func(s *Link) { s.Duplicate = p })
}

// Reorder holds packets back by up to jitter with a probability of 0 to 1.
func (l *LinkControl) Reorder(p float64, jitter time.Duration) *LinkControl {
	return l.Set(func(s *Link) { s.Reorder, s.Jitter = p, jitter })
}

// Latency sets the delay.
func (l *LinkControl) Latency(d Dist) *LinkControl { return l.Set(func(s *Link) { s.Latency = d }) }

// Bandwidth bounds the bytes per second; 0 for no bound.
func (l *LinkControl) Bandwidth(bytes int64) *LinkControl {
	return l.Set(func(s *Link) { s.Bandwidth = bytes })
}

// Cut lets nothing pass.
func (l *LinkControl) Cut() *LinkControl { return l.Set(func(s *Link) { s.Cut = true }) }

// Restore makes the links what all links are like, over whatever was changed.
func (l *LinkControl) Restore() *LinkControl {
	plain := l.c.cfg.Link
	return l.Set(func(s *Link) { *s = plain })
}

// Reset resets the connections that there are between the two nodes.
func (l *LinkControl) Reset() *LinkControl {
	l.c.net.Reset(l.ends())
	return l
}

// HalfOpen makes the connections that there are carry nothing any more, without
// either end being told.
func (l *LinkControl) HalfOpen() *LinkControl {
	l.c.net.HalfOpen(l.ends())
	return l
}

func (l *LinkControl) ends() (a, b *simnet.Host) {
	return l.c.Member(l.pairs[0][0]).host, l.c.Member(l.pairs[0][1]).host
}

// errDNS is what a broken name server answers.
var errDNS = errors.New("server misbehaving")

// SetDNS has the simulated DNS answer a host name with the addresses of nodes,
// for seeds such as "dns+mesh.internal:7101". Without nodes it fails.
func (c *Cluster) SetDNS(host string, delay time.Duration, nodes ...int) {
	if len(nodes) == 0 {
		c.net.SetName(host, delay, errDNS)
		return
	}
	addrs := make([]netip.Addr, len(nodes))
	for k, i := range nodes {
		addrs[k] = c.Member(i).host.Addr()
	}
	c.net.SetName(host, delay, nil, slices.Compact(addrs)...)
}

// label names the member's running process.
func (m *Member) label() string {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	return m.labelLocked()
}

func (m *Member) labelLocked() string { return m.Name + "#" + strconv.Itoa(m.process) }
