package membership

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// conflictBacklog is how many conflicts may wait to be looked into. More are
// dropped; memberlist reports a lasting conflict again and again.
const conflictBacklog = 16

// When two processes of one name are both there for this many intervals of full
// state exchange, the older one asks up to maxWitnesses others whom they know.
const (
	supersededAfter = 3
	maxWitnesses    = 16
)

// conflict is a name that was seen at two addresses.
type conflict struct {
	name  string
	known netip.AddrPort
	other netip.AddrPort
}

// conflicts takes reports from memberlist's callbacks.
type conflicts struct{ ch chan conflict }

// report never waits.
func (c *conflicts) report(x conflict) {
	select {
	case c.ch <- x:
	default:
	}
}

// judge is the goroutine that looks into names seen at two addresses.
type judge struct {
	c     *Cluster
	rnd   *rand.Rand
	first map[netip.AddrPort]time.Time // when a younger process of this node's name was first seen
}

func (c *Cluster) conflictLoop() {
	j := &judge{
		c:     c,
		rnd:   rand.New(rand.NewPCG(c.cfg.RandSeed, 1<<16|uint64(c.cfg.Advertise.Port()))),
		first: map[netip.AddrPort]time.Time{},
	}
	for {
		select {
		case x := <-c.conflicts.ch:
			j.lookInto(x)
		case <-c.ctx.Done():
			return
		}
	}
}

func (j *judge) lookInto(x conflict) {
	c, now := j.c, time.Now()
	if !c.quiet.allow("conflict "+x.name+x.other.String(), now) {
		return
	}
	if x.name != c.cfg.Name {
		c.log.Warn().Str("member", x.name).Stringer("known", x.known).Stringer("other", x.other).
			Msg("a member's name was seen at another address")
		return
	}
	err := c.contest(c.ctx, x.other)
	var taken *NameTakenError
	switch {
	case !errors.As(err, &taken):
		delete(j.first, x.other)
		c.log.Debug().Stringer("other", x.other).Err(err).Msg("this node's name was seen at an address where it is not in use")
	case c.younger(taken), j.superseded(x.other, now):
		c.fail(err)
	default:
		c.log.Error().Err(err).Msg("a younger process has this node's name; it is the one that should stop")
	}
}

// superseded tells whether the cluster has given this node's name to the
// younger process at other, because it took this one for dead for so long. The
// younger one should be gone soon if it finds this one in the cluster; only
// when it is not are others asked, and one who still counts this node in is
// enough for it to stay.
func (j *judge) superseded(other netip.AddrPort, now time.Time) bool {
	c := j.c
	since, ok := j.first[other]
	if !ok {
		j.first[other] = now
		return false
	}
	if now.Sub(since) < supersededAfter*c.tune.pushPull {
		return false
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.tune.streamTimeout)
	defer cancel()
	targets, _ := c.resolve(ctx)
	for _, m := range c.roster.members() {
		targets = append(targets, target{addrs: []netip.AddrPort{m.Addr}})
	}
	j.rnd.Shuffle(len(targets), func(a, b int) { targets[a], targets[b] = targets[b], targets[a] })
	listed := 0
	for _, t := range targets[:min(len(targets), maxWitnesses)] {
		if t.addrs[0] == other || t.addrs[0] == c.cfg.Advertise {
			continue
		}
		states, err := c.remoteStates(ctx, t.addrs[0])
		switch {
		case err != nil:
		case c.countedIn(states):
			return false
		case slices.ContainsFunc(states, func(s nodeState) bool { return s.Name == c.cfg.Name && s.Addr == other && s.live() }):
			listed++
		}
	}
	return listed > 0
}

// younger tells whether this process started after the other one. Of two that
// started at once the one with the larger address counts as younger.
func (c *Cluster) younger(other *NameTakenError) bool {
	if own := c.cfg.Meta.Boot; own != other.Boot {
		return own > other.Boot
	}
	return c.cfg.Advertise.Compare(other.Addr) > 0
}

// contest asks the process at addr, where this node's name was seen, who it
// is. The error is a *NameTakenError if another live process has the name, and
// ErrNameListed otherwise.
func (c *Cluster) contest(ctx context.Context, addr netip.AddrPort) error {
	id, err := c.identify(ctx, addr)
	switch {
	case err == nil && id.Name == c.cfg.Name && id.Boot != c.cfg.Meta.Boot:
		return &NameTakenError{Name: c.cfg.Name, Addr: addr, Boot: id.Boot}
	case err == nil:
		return fmt.Errorf("%w: waiting for the cluster to notice that the former %q at %v is gone (%q answers there)",
			ErrNameListed, c.cfg.Name, addr, id.Name)
	}
	return fmt.Errorf("%w: waiting for the cluster to notice that the former %q at %v is gone (nobody answers there)",
		ErrNameListed, c.cfg.Name, addr)
}

// identify asks the process at addr who it is, within the profile's time.
func (c *Cluster) identify(ctx context.Context, addr netip.AddrPort) (Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, c.tune.contact)
	defer cancel()
	return c.cfg.Identify(ctx, addr)
}
