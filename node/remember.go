package node

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/meshnode/meshnode/membership"
)

// MaxKnownPeers is how many peers are remembered, and tried at a start.
const MaxKnownPeers = membership.MaxKnown

// KnownPeer is another member, as it is remembered.
type KnownPeer struct {
	Name string
	Addr netip.AddrPort // UDP and TCP
}

// Memory keeps the peers that a node knows for its next start, by which it finds its
// cluster again without seeds. See Config.Remember.
type Memory interface {
	// Known gives the peers as last remembered. It is called once, by Start or
	// Run, and its slice is not changed. Peers that cannot be tried, and those
	// beyond MaxKnownPeers, do not count.
	Known() []KnownPeer
	// Remember takes the place of all that was remembered: at most MaxKnownPeers,
	// the likeliest to be there first, in a slice that is the callee's. It is called
	// after the peers have changed, at most once a second and once at the end,
	// from one goroutine, never begun after the node has stopped; it may block, which Stop
	// waits for, for as long as Limits.DrainTimeout. After an error it is called again.
	Remember(peers []KnownPeer) error
	// String says where the peers are kept, for messages, such as a path.
	String() string
}

// Pauses between two calls of Memory.Remember.
const (
	rememberPause = time.Second
	rememberRetry = 10 * time.Second // after an error
)

// acquaintances are the peers that a node with a Memory knows: the live, those who
// went without a word, and those of earlier runs who have not been seen yet.
//
// Invariant: neither a name nor an address of live is in gone, which has at most
// MaxKnownPeers.
type acquaintances struct {
	memory Memory // nil: nothing is remembered
	where  string // the memory's String
	first  int    // how many were known at the start

	mu    sync.Mutex
	live  []membership.Member // by name, this node left out
	gone  []KnownPeer         // the latest first
	saved []KnownPeer         // as Memory has them, or will soon
	poke  chan struct{}       // has room for one
}

// recall takes the peers of earlier runs from the memory, for membership.
func (a *acquaintances) recall(memory Memory) []membership.Known {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.memory, a.poke = memory, make(chan struct{}, 1)
	if memory == nil {
		return nil
	}
	known := memory.Known()
	a.where = memory.String()
	a.gone = slices.Clone(known[:min(len(known), MaxKnownPeers)])
	a.saved, a.first = slices.Clone(a.gone), len(a.gone)
	out := make([]membership.Known, len(a.gone))
	for i, p := range a.gone {
		out[i] = membership.Known(p)
	}
	return out
}

// observe takes a snapshot. Who left said so before and is forgotten; who else is no
// longer there is remembered, as it may come back, and as a node that sees nobody
// must not take that for being the only one.
func (a *acquaintances) observe(s *membership.Snapshot) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.memory == nil {
		return
	}
	var dead []KnownPeer
	eachChange(a.live, s.Members, func(was, now *membership.Member) {
		if now == nil && was.State != membership.StateDraining {
			dead = append(dead, KnownPeer{was.Name, was.Addr})
		}
	})
	a.live = slices.DeleteFunc(slices.Clone(s.Members), func(m membership.Member) bool { return m.Name == s.Self })
	names, addrs := make(map[string]bool, len(s.Members)), make(map[netip.AddrPort]bool, len(s.Members))
	for _, m := range s.Members {
		names[m.Name], addrs[m.Addr] = true, true
	}
	a.gone = slices.DeleteFunc(append(dead, a.gone...), func(p KnownPeer) bool { return names[p.Name] || addrs[p.Addr] })
	a.gone = a.gone[:min(len(a.gone), MaxKnownPeers)]
	if slices.Equal(a.listLocked(), a.saved) {
		return
	}
	select {
	case a.poke <- struct{}{}:
	default:
	}
}

// listLocked gives what is to be remembered: first the live, those known for longest
// before the others, because who has lived long lives on; then those who are gone.
func (a *acquaintances) listLocked() []KnownPeer {
	live := slices.Clone(a.live)
	slices.SortStableFunc(live, func(x, y membership.Member) int { return x.Since.Compare(y.Since) })
	list := make([]KnownPeer, 0, min(len(live)+len(a.gone), MaxKnownPeers))
	for _, m := range live[:min(len(live), MaxKnownPeers)] {
		list = append(list, KnownPeer{m.Name, m.Addr})
	}
	return append(list, a.gone[:min(len(a.gone), MaxKnownPeers-len(list))]...)
}

// save has the memory keep what it does not have yet.
func (a *acquaintances) save() error {
	a.mu.Lock()
	list, before := a.listLocked(), a.saved
	a.saved = list
	a.mu.Unlock()
	saved := false
	defer func() { // also if the memory panics
		if !saved {
			a.mu.Lock()
			a.saved = before
			a.mu.Unlock()
		}
	}()
	if !slices.Equal(list, before) {
		if err := a.memory.Remember(slices.Clone(list)); err != nil {
			return fmt.Errorf("peers for the next start cannot be kept in %s: %w", a.where, err)
		}
	}
	saved = true
	return nil
}

// rememberPeers saves what changes until ctx ends, and then what is left.
func (n *Node) rememberPeers(ctx context.Context) {
	a, failing := &n.known, false
	timer := time.NewTimer(0)
	defer timer.Stop()
	save := func() time.Duration {
		err := n.guarded("Config.Remember", a.save)
		if err != nil && !failing {
			n.log.Error().Err(err).Msg("trying again")
		}
		if failing = err != nil; failing {
			return rememberRetry
		}
		return rememberPause
	}
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			save()
			return
		}
		if !failing {
			select {
			case <-a.poke:
			case <-ctx.Done():
				save()
				return
			}
		}
		timer.Reset(save())
	}
}

// looksFor says what a node is in search of that has not found its cluster.
func (n *Node) looksFor() string {
	var options []string
	if len(n.cfg.Seeds) > 0 {
		options = append(options, "a seed")
	}
	if a := &n.known; a.first > 0 {
		options = append(options, fmt.Sprintf("one of the %d peers in %s", a.first, a.where))
	}
	return "it looks for " + cmp.Or(strings.Join(options, ", or "), "a seed") + " that answers"
}
