package node

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// noTakerTimeout is how long a leaving node waits at least while nobody claims
// anything; if that is longer, as long as it takes to notice that a taker is gone.
const noTakerTimeout = 2 * time.Second

// confirm tells the nodes that passed partitions on that they are here, hooks and
// all.
func (n *Node) confirm(ctx context.Context, taken map[string][]uint32) {
	var telling sync.WaitGroup
	for _, name := range slices.Sorted(maps.Keys(taken)) {
		if n.view.Load().peers[name] == nil {
			continue
		}
		telling.Go(func() {
			req := &ClaimRequest{Node: n.cfg.Name, Boot: n.boot, Partitions: taken[name], Done: true}
			if _, err := Claim.Call(ctx, n, req, rpc.Peer(name), rpc.Timeout(claimTimeout)); err != nil {
				n.log.Debug().Err(err).Str("member", name).Msg("a former owner was not told that its partitions have arrived")
			}
		})
	}
	telling.Wait()
}

// waitTaken makes a node that leaves wait until those who take over what it had
// have it, or there is nobody who would.
func (n *Node) waitTaken(ctx context.Context) {
	h := &n.handover
	h.mu.Lock()
	has := len(h.records) > 0
	h.mu.Unlock()
	if !has {
		return
	}
	if due, ok := ctx.Deadline(); ok { // the rest of the end needs time, too
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(due)*3/4)
		defer cancel()
	}
	takers := n.takers(ctx)
	patience := max(noTakerTimeout, n.cfg.Profile.DetectionTime(len(n.view.Load().members.Members)))
	for last, since := -1, time.Now(); ; {
		v := n.view.Load()
		h.mu.Lock()
		waiting, claimed := h.outstandingLocked(v, takers)
		changed := h.changed
		h.mu.Unlock()
		if waiting != last {
			last, since = waiting, time.Now()
		}
		left := patience - time.Since(since)
		switch {
		case waiting == 0:
			return
		case claimed > 0:
			left = patience
		}
		if left <= 0 || !waitChange(ctx, changed, v, left) {
			n.log.Warn().Int("partitions", waiting).Msg("leaving with partitions that nobody has taken over")
			return
		}
	}
}

// waitChange waits until a record or the view changes, for a while. It returns false
// if ctx has ended.
func waitChange(ctx context.Context, changed <-chan struct{}, v *view, atMost time.Duration) bool {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-changed:
	case <-v.changed:
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// takers asks which members take over partitions. One that does not answer may.
func (n *Node) takers(ctx context.Context) map[string]bool {
	var mu sync.Mutex
	takers := make(map[string]bool)
	var asking sync.WaitGroup
	for _, name := range n.view.Load().provenNames() {
		if name == n.cfg.Name {
			continue
		}
		asking.Go(func() {
			reply, err := Claim.Call(ctx, n, &ClaimRequest{Node: n.cfg.Name, Boot: n.boot}, rpc.Peer(name), rpc.Timeout(claimTimeout))
			if err != nil && rpc.CodeOf(err) != rpc.Unimplemented || err == nil && reply.Tracks {
				mu.Lock()
				takers[name] = true
				mu.Unlock()
			}
		})
	}
	asking.Wait()
	return takers
}

// outstandingLocked counts the partitions that others have yet to take over, and
// of these those that they have claimed. The caller holds mu.
func (h *handover) outstandingLocked(v *view, takers map[string]bool) (waiting, claimed int) {
	for p, r := range h.records {
		switch {
		case !r.told: // the state never was here
		case r.to == (process{}):
			if takers[v.table.Owner(p)] {
				waiting++
			}
		case !r.taken && v.lives(r.to):
			waiting++
			claimed++
		}
	}
	return waiting, claimed
}
