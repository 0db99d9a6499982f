package outbox

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/meshnode/meshnode/internal/ledger"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

// keeper has this node hold what it owns: it fetches what it has gained from who
// holds it, claims what nobody holds, and gives what others ask for who own it.
//
// Invariant: a partition is held by one box at most. The ledgers see to that: one
// that gives marks it on its disk first, and cannot serve from then on; one that
// claims has heard from every box that is known that it neither holds the partition
// nor wants it.
type keeper struct {
	b *Box
	n *node.Node

	mu     sync.Mutex
	wanted map[uint32]time.Time // owned and not held; since when
	others heardOf
	known  map[string]bool // nodes that have boxes, as noted in the ledger; false: abandoned
	poked  chan struct{}

	leaving bool // from the table, and not back in it; under Box.mu

	noting sync.Mutex // held over the writing of known
}

const (
	askTimeout     = 2 * time.Second
	keeperPause    = 50 * time.Millisecond // between rounds that found something to wait for, doubling up to
	keeperPauseMax = time.Second
	sweepEvery     = 5 * time.Second
	noTaker        = 2 * time.Second // without a partition taken, a leaving node waits no longer
)

// Start has the box's calls made through a node, and its handlers serve what the
// node owns. Call it before the node starts, once.
func (b *Box) Start(n *node.Node) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return ErrClosed
	case b.cfg.ReadOnly:
		return fmt.Errorf("%w: ReadOnly", ErrConfig)
	case b.keeper.Load() != nil:
		return ErrStarted
	}
	k := &keeper{b: b, n: n, wanted: map[uint32]time.Time{}, poked: make(chan struct{}, 1)}
	if err := k.fit(); err != nil {
		return fmt.Errorf("outbox %s: %w", b.dir, err)
	}
	whereMethod.Handle(n, k.where)
	takeMethod.Handle(n, k.take)
	refuseMethod.Handle(n, k.refuse)
	b.serve(n)
	b.keeper.Store(k)
	b.mesh = n
	n.OnOwnership(k.changed, node.TablesOnly())
	b.tasks.Go(k.run)
	return nil
}

// waitHeld gives a partition that this node owns a moment to arrive.
func (k *keeper) waitHeld(ctx context.Context, p uint32) {
	if k.n.Table().Owner(p) != k.n.Name() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, arrivalWait)
	defer cancel()
	await(ctx, func() bool { _, ok := k.b.ledger.Holds(p); return ok })
}

// arrivalWait is short: while a holder is down, calls for what it holds would
// otherwise take the places of others.
const arrivalWait = 250 * time.Millisecond

// missing gives what this node owns and does not hold.
func (k *keeper) missing() []uint32 {
	var missing []uint32
	for _, p := range k.n.Table().Owned(k.n.Name()) {
		if _, ok := k.b.ledger.Holds(p); !ok {
			missing = append(missing, p)
		}
	}
	return missing
}

func (k *keeper) look() {
	select {
	case k.poked <- struct{}{}:
	default:
	}
}

// run fetches and claims until the box closes.
func (k *keeper) run() {
	pause, greeted := keeperPause, false
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		attends := k.attend()
		k.sweep()
		greeted = greeted || k.greet()
		missing := k.want(k.missing())
		if len(missing) > 0 && k.round(missing) {
			pause = keeperPause
			continue
		}
		var again <-chan time.Time
		if len(missing) > 0 || !attends {
			again, pause = time.After(pause), min(2*pause, keeperPauseMax)
		}
		select {
		case <-k.poked:
			pause = keeperPause
		case <-again:
		case <-sweep.C:
		case <-k.b.ctx.Done():
			return
		}
	}
}

// want notes what this node looks for, before it asks others: two that look for the
// same see each other.
func (k *keeper) want(missing []uint32) []uint32 {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	next := make(map[uint32]time.Time, len(missing))
	for _, p := range missing {
		next[p] = now
		if since, ok := k.wanted[p]; ok {
			next[p] = since
		}
	}
	k.wanted = next
	return missing
}

// round asks all boxes, fetches what somebody holds, and claims what nobody does.
// It tells whether anything came of it.
func (k *keeper) round(missing []uint32) (progress bool) {
	missing, progress = k.returning(missing)
	if len(missing) == 0 {
		return progress
	}
	found := k.ask(missing)
	k.heard(found)
	for name, parts := range found.holders {
		if k.fetch(name, parts) {
			progress = true
		}
	}
	var free []uint32
	for _, p := range missing {
		if !found.taken[p] && (found.complete || k.orphaned(p)) {
			free = append(free, p)
		}
	}
	if len(free) == 0 {
		return progress
	}
	if err := k.b.ledger.Claim(k.b.ctx, free, k.epoch(found.complete)); err != nil {
		k.b.cfg.Logger.Error().Err(err).Msg("partitions cannot be claimed")
		return progress
	}
	if !found.complete {
		k.b.count(func(c *Counts) { c.OrphansServed += uint64(len(free)) })
		k.b.cfg.Logger.Warn().Int("partitions", len(free)).Strs("silent", found.silent).
			Msg("serving partitions whose holder may be one that does not answer: what it alone knows is lost")
	}
	return true
}

// returning takes back what is on its way from here to others, and gives the rest of
// what is missing.
func (k *keeper) returning(missing []uint32) (rest []uint32, progress bool) {
	var back []uint32
	for _, p := range missing {
		if h, _ := k.b.ledger.Where(p); h.State == ledger.Giving {
			back = append(back, p)
		} else {
			rest = append(rest, p)
		}
	}
	done := make([]bool, len(back))
	each(back, func(i int, p uint32) { done[i] = k.takeBack(k.b.ctx, p) || k.orphaned(p) && k.seize(p) })
	return rest, slices.Contains(done, true)
}

// seize takes back a partition from a node that does not answer, and may have it.
func (k *keeper) seize(p uint32) bool {
	h, _ := k.b.ledger.Where(p)
	if h.State != ledger.Giving {
		return false
	}
	if _, err := k.b.ledger.Reclaim(k.b.ctx, p, h.Epoch); err != nil {
		return false
	}
	k.b.count(func(c *Counts) { c.OrphansServed++ })
	k.b.cfg.Logger.Warn().Uint32("partition", p).Str("to", h.To).Msg("serving a partition that was on its way to a node that does not answer: what it did with it is lost")
	return true
}

// epoch is what partitions are claimed with: 1 if nobody ever had them, else more than
// whoever is not asked any more counted to.
func (k *keeper) epoch(complete bool) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, counts := range k.known {
		complete = complete && counts
	}
	if complete {
		return 1
	}
	return uint64(time.Now().UnixMilli())
}

// orphaned tells whether a partition was looked for as long as configured.
func (k *keeper) orphaned(p uint32) bool {
	after := k.b.cfg.Orphans.ServeAfter
	k.mu.Lock()
	defer k.mu.Unlock()
	since, ok := k.wanted[p]
	return after > 0 && ok && time.Since(since) >= after
}

// findings is what the others say.
type findings struct {
	holders  map[string][]uint32    // who gives what
	taken    map[uint32]bool        // what somebody holds or wants
	with     map[uint32]whereAnswer // who has what, by the latest epoch that anybody knows
	complete bool                   // every box that is known has answered
	silent   []string               // those who have not
}

// ask asks every live member that may have a box.
func (k *keeper) ask(missing []uint32) *findings {
	type answer struct {
		name  string
		reply *whereReply
		err   error
	}
	var peers []string
	for _, m := range k.n.Members().Members {
		if m.Name != k.n.Name() {
			peers = append(peers, m.Name)
		}
	}
	answers := make(chan answer, len(peers))
	for _, name := range peers {
		go func() {
			reply, err := whereMethod.Call(k.b.ctx, k.n, &whereRequest{From: k.n.Name(), Partitions: missing}, rpc.Peer(name), rpc.Timeout(askTimeout))
			answers <- answer{name, reply, err}
		}()
	}
	f := &findings{holders: map[string][]uint32{}, taken: map[uint32]bool{}, with: map[uint32]whereAnswer{}}
	heard := map[string]bool{k.n.Name(): true}
	var boxes []string
	for range peers {
		a := <-answers
		switch {
		case a.err == nil:
			heard[a.name] = true
			boxes = append(append(boxes, a.name), a.reply.Known...)
			f.add(a.name, k.n.Name(), a.reply)
		case rpc.CodeOf(a.err) == rpc.Unimplemented:
			heard[a.name] = true // it has no box
		default:
			boxes = append(boxes, a.name) // it may have one
		}
	}
	known, err := k.know(k.b.ctx, boxes)
	for _, name := range known {
		if !heard[name] {
			f.silent = append(f.silent, name)
		}
	}
	f.complete = err == nil && len(f.silent) == 0 && !slices.ContainsFunc(peers, func(p string) bool { return !heard[p] })
	return f
}

func (f *findings) add(name, self string, reply *whereReply) {
	for _, a := range reply.Answers {
		if a.State == holdsIt {
			a.To = name
		}
		if a.To != "" && a.To != self && a.Epoch >= f.with[a.Partition].Epoch {
			f.with[a.Partition] = a
		}
		if a.State == hadIt {
			continue
		}
		f.taken[a.Partition] = true
		if a.State != wantsIt {
			f.holders[name] = append(f.holders[name], a.Partition)
		}
	}
}
