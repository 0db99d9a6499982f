package membership

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// MaxKnown is how many of Config.Known count: the first ones.
const MaxKnown = 256

// Known is a member of an earlier run of this node.
type Known struct {
	Name string
	Addr netip.AddrPort // UDP and TCP
}

// usableKnown gives the known members that can be tried: with an address that can
// be reached, once each, this node left out.
func usableKnown(cfg *Config) []Known {
	var usable []Known
	seen := map[netip.AddrPort]bool{cfg.Advertise: true}
	for _, k := range cfg.Known {
		k.Addr = netip.AddrPortFrom(k.Addr.Addr().Unmap(), k.Addr.Port())
		if !validNodeName(k.Name) || k.Name == cfg.Name || !validAdvertise(k.Addr) || seen[k.Addr] {
			continue
		}
		seen[k.Addr] = true
		usable = append(usable, k)
		if len(usable) == MaxKnown {
			break
		}
	}
	return usable
}

// target is where to find a known member.
func (k *Known) target() target {
	return target{name: k.Name + " (" + k.Addr.String() + ")", addrs: []netip.AddrPort{k.Addr}, known: true}
}

// unmet gives the known members that this process has never seen in its cluster,
// in their order; all of them until the cluster is found. Who has been seen is the
// roster's from then on; and a day after the cluster was found the others are given
// up.
func (s *seeker) unmet(now time.Time) []Known {
	if s.found.IsZero() {
		return s.known
	}
	if now.Sub(s.found) > rememberDead {
		s.known = nil
	}
	s.known = slices.DeleteFunc(s.known, func(k Known) bool { return s.c.roster.met(k.Name) })
	return s.known
}

// targets gives all that a round tries: the seeds in any order, then the known
// members that are unmet and no seeds. A node of whose seeds and known members none
// has answered yet may have been found by others, who are as good: all its seeds may
// be at other addresses by now.
func (s *seeker) targets(ctx context.Context) ([]target, SeedErrors) {
	c := s.c
	targets, failed := c.resolve(ctx)
	s.rnd.Shuffle(len(targets), func(i, j int) { targets[i], targets[j] = targets[j], targets[i] })
	seen := map[netip.AddrPort]bool{c.cfg.Advertise: true}
	for _, t := range targets {
		for _, a := range t.addrs {
			seen[a] = true
		}
	}
	known := s.unmet(time.Now())
	if s.found.IsZero() {
		for _, m := range c.roster.members() {
			known = append(slices.Clip(known), Known{Name: m.Name, Addr: m.Addr})
		}
	}
	for _, k := range known {
		if !seen[k.Addr] {
			seen[k.Addr] = true
			targets = append(targets, k.target())
		}
	}
	return targets, failed
}

// foundBy wakes a node that waits between two rounds: a member has come by itself.
func (c *Cluster) foundBy(name string) {
	if name != c.cfg.Name && !c.Joined() {
		c.join.poke()
	}
}

// gather brings those in whom this node knew and who live apart from the cluster
// that it has just found: nodes that are all started at once find each other in
// twos and threes. It waits for no one longer than a probe does.
func (s *seeker) gather(ctx context.Context) {
	c := s.c
	var targets []target
	for _, k := range s.unmet(time.Now()) {
		targets = append(targets, k.target())
	}
	if len(targets) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, c.tune.probeTimeout)
	defer cancel()
	var asking sync.WaitGroup
	defer asking.Wait()
	results := c.ask(ctx, targets, &asking)
	for range targets {
		out := <-results
		if out.err != nil || s.present(out.peer) {
			continue
		}
		if err := c.enter(ctx, out.peer); err != nil {
			c.log.Debug().Str("peer", out.peer.id.Name).Err(err).Msg("a known peer answers but cannot be joined yet")
			continue
		}
		s.entered(out.peer)
	}
}

// disown drops a known member whose address is somebody else's now.
func (s *seeker) disown(addr netip.AddrPort) {
	s.known = slices.DeleteFunc(s.known, func(k Known) bool { return k.Addr == addr })
}
