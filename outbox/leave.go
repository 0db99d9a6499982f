package outbox

import (
	"context"
	"time"

	"github.com/meshnode/meshnode/node"
)

// lastAnswers is how long a leaving node waits, when it has handed over what it
// held, for the answers to calls that are under way.
const lastAnswers = time.Second

// attend has calls made once the node is ready, and tells whether there is nothing to
// wait for: a call before that could not be sent to anybody.
func (k *keeper) attend() bool {
	ready, _ := k.n.Ready()
	k.b.mu.Lock()
	defer k.b.mu.Unlock()
	if !k.b.schedule.running && !k.leaving && ready {
		k.b.runLocked(true)
	}
	return k.b.schedule.running || k.leaving
}

// changed is told of what this node gains and loses. It holds nothing up: calls of
// other methods have nothing to do with a partition's state. After a leave it returns
// when what was lost is taken, and no call is under way.
func (k *keeper) changed(c node.OwnershipChange) {
	self := k.n.Name()
	leaves := c.Old.Has(self) && !c.New.Has(self)
	k.b.mu.Lock()
	k.leaving = leaves || k.leaving && !c.New.Has(self)
	if leaves {
		k.b.runLocked(false)
	}
	k.b.mu.Unlock()
	k.look()
	k.b.hurry()
	if !leaves {
		k.attend()
		return
	}
	k.handOver()
	k.b.endAttempts(func() bool { return k.n.Table().Len() == 0 })
}

// handOver waits until others have taken what this node holds, as long as there are
// any who do: where all leave together nobody takes anything.
func (k *keeper) handOver() {
	ctx, cancel := context.WithTimeout(k.b.ctx, k.b.cfg.Handover)
	defer cancel()
	held, since := k.b.holds(), time.Now()
	await(ctx, func() bool {
		if now := k.b.holds(); now != held {
			held, since = now, time.Now()
		}
		return held == 0 || k.n.Table().Len() == 0 || time.Since(since) > noTaker
	})
	if left := k.b.holds(); left > 0 {
		k.b.cfg.Logger.Warn().Int("partitions", left).Msg("leaving with partitions that nobody has taken: they wait for this node's return")
	}
}

// endAttempts ends the attempts that are under way, when they have had a moment to be
// answered; none if alone says that there is nobody who could. None begins any more.
func (b *Box) endAttempts(alone func() bool) {
	ctx, cancel := context.WithTimeout(b.ctx, lastAnswers)
	defer cancel()
	await(ctx, func() bool { return alone() || b.underWay() == 0 })
	b.mu.Lock()
	cut := len(b.schedule.workers)
	for w := range b.schedule.workers {
		w.stop()
	}
	left := b.pendingCalls
	b.mu.Unlock()
	await(b.ctx, func() bool { return b.underWay() == 0 })
	if left == 0 {
		return
	}
	why := "they are made when this node starts again"
	if alone() {
		why = "nobody is left to take them; " + why
	}
	b.cfg.Logger.Warn().Int("pending", left).Int("cut_short", cut).Msg("leaving with pending durable calls: " + why)
}

// underWay is how many calls are being made, at most.
func (b *Box) underWay() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.schedule.workers)
}

// await waits until a condition holds, or ctx ends.
func await(ctx context.Context, holds func() bool) {
	for pause := time.Millisecond; !holds(); pause = min(2*pause, keeperPause) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}
