package membership

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// Bounds of one round over the seeds.
const (
	maxContacts  = 8 // seeds asked at once
	maxExchanges = 4 // with the seed that is joined
)

// peer is a process that may be joined.
type peer struct {
	id    Identity
	addr  netip.AddrPort
	moved bool // it still lists a former process of this node's name elsewhere
}

// contact asks the addresses of a target, one after the other, until one can
// be joined. The error is errSelf if one of them leads to this node, else the
// first that is permanent, else the last.
func (c *Cluster) contact(ctx context.Context, t target) (peer, error) {
	var last error
	for _, addr := range t.addrs {
		p, err := c.examine(ctx, addr)
		if err == nil || errors.Is(err, errSelf) {
			return p, err
		}
		if last == nil || !permanent(last) {
			last = err
		}
	}
	return peer{}, last
}

// examine finds out whether this node can join the process at addr, without
// telling it anything: who it is, and what it knows. Errors: errSelf, those of
// Identify, of the network, of compatible, ErrNameTaken and ErrNameListed.
func (c *Cluster) examine(ctx context.Context, addr netip.AddrPort) (peer, error) {
	p := peer{addr: addr}
	var err error
	if p.id, err = c.identify(ctx, addr); err != nil {
		return p, err
	}
	if p.id.Boot == c.cfg.Meta.Boot {
		return p, errSelf
	}
	states, err := c.remoteStates(ctx, addr)
	if err != nil {
		return p, fmt.Errorf("state of %q: %w", p.id.Name, err)
	}
	for i := range states {
		s := &states[i]
		mine := s.Name == c.cfg.Name && s.Addr != c.cfg.Advertise
		p.moved = p.moved || mine
		if !s.live() {
			continue
		}
		meta, err := c.compatible(s.Name, s.Meta)
		if err == nil && mine && meta.Boot != c.cfg.Meta.Boot {
			err = c.namesake(ctx, s.Addr, meta)
		}
		if err != nil {
			return p, err
		}
	}
	if p.id.Name == c.cfg.Name {
		return p, c.rival(p.id.Boot, addr, StateServing)
	}
	return p, nil
}

// namesake decides about a live member that has this node's name at another
// address. After this node has joined, the two are in two parts of a cluster
// that must become one again, and who may stay is decided apart from that.
func (c *Cluster) namesake(ctx context.Context, addr netip.AddrPort, meta Meta) error {
	if c.Joined() {
		c.conflicts.report(conflict{name: c.cfg.Name, known: c.cfg.Advertise, other: addr})
		return nil
	}
	err := c.contest(ctx, addr)
	var taken *NameTakenError
	if errors.As(err, &taken) {
		return c.rival(taken.Boot, addr, meta.State)
	}
	return err
}

// rival decides about a live process of this node's name: one that serves
// keeps it. Of two that are both looking for their cluster the older one does,
// and waits for the other to stop.
func (c *Cluster) rival(boot uint64, addr netip.AddrPort, state State) error {
	taken := &NameTakenError{Name: c.cfg.Name, Addr: addr, Boot: boot}
	if state == StateJoining && !c.younger(taken) {
		return fmt.Errorf("%w: waiting for a younger %q at %v to stop", ErrNameListed, c.cfg.Name, addr)
	}
	return taken
}

// enter joins a peer, and makes sure that each side counts the other in. That
// takes a second exchange when one side believed the other dead: in the first
// it learns of it, and can refute it only in the next. Errors: ErrNotAccepted,
// or that of the exchange.
func (c *Cluster) enter(ctx context.Context, p peer) error {
	_, list, err := c.running()
	if err != nil {
		return err
	}
	// The name goes before a literal address, so memberlist resolves nothing.
	at := p.id.Name + "/" + p.addr.String()
	for i := range maxExchanges {
		if _, err := list.Join([]string{at}); err != nil {
			return fmt.Errorf("state exchange with %q: %w", p.id.Name, err)
		}
		states, err := c.remoteStates(ctx, p.addr)
		if err != nil {
			return fmt.Errorf("state of %q: %w", p.id.Name, err)
		}
		if _, ok := c.roster.get(p.id.Name); ok && c.countedIn(states) {
			return nil
		}
		// The peer takes in what it was sent only after it has answered, and
		// what is to be refuted may have to travel: wait a little, then longer.
		if !sleep(ctx, c.tune.gossipInterval/8<<i) {
			return ctx.Err()
		}
	}
	return fmt.Errorf("%w: %q at %v", ErrNotAccepted, p.id.Name, p.addr)
}

// countedIn tells whether states hold this very process as live.
func (c *Cluster) countedIn(states []nodeState) bool {
	for i := range states {
		s := &states[i]
		if s.Name != c.cfg.Name || s.Addr != c.cfg.Advertise || !s.live() {
			continue
		}
		meta, err := DecodeMeta(s.Meta)
		return err == nil && meta.Boot == c.cfg.Meta.Boot
	}
	return false
}

// outcome is what came of one target.
type outcome struct {
	index int
	peer  peer
	err   error
}

// failed is why a target was of no use.
func (t *target) failed(err error) *SeedError {
	return &SeedError{Seed: t.name, Known: t.known, Err: err}
}

// ask contacts all targets, in their order and maxContacts at a time, and gives a
// channel with room for the outcome of each. It waits for none of them: asking is
// done when all are, soon after the end of ctx.
func (c *Cluster) ask(ctx context.Context, targets []target, asking *sync.WaitGroup) <-chan outcome {
	results := make(chan outcome, len(targets))
	var next atomic.Int64
	for range min(len(targets), maxContacts) {
		asking.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(targets)); i = next.Add(1) - 1 {
				p, err := c.contact(ctx, targets[i])
				results <- outcome{index: int(i), peer: p, err: err}
			}
		})
	}
	return results
}

// attempt asks all targets at once and joins the first that can be joined.
// Without success it returns an error per target, in order, without those
// that are this node.
func (c *Cluster) attempt(ctx context.Context, targets []target) (peer, SeedErrors, bool) {
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	results := c.ask(ctx, targets, &asking)
	failed := make(SeedErrors, len(targets))
	for range targets {
		out := <-results
		if out.err == nil {
			out.err = c.enter(ctx, out.peer)
		}
		switch {
		case out.err == nil:
			return out.peer, nil, true
		case errors.Is(out.err, ErrNameTaken):
			return peer{}, SeedErrors{targets[out.index].failed(out.err)}, false
		case !errors.Is(out.err, errSelf):
			failed[out.index] = targets[out.index].failed(out.err)
		}
	}
	return peer{}, slices.DeleteFunc(failed, func(e *SeedError) bool { return e == nil }), false
}
