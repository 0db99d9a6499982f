package outbox

import (
	"context"
	"errors"
	"sync"

	"github.com/meshnode/meshnode/internal/ledger"
	"github.com/meshnode/meshnode/rpc"
)

// member makes sure that a request comes from the member that it names, and from nobody for
// whom that one carries a call: what these methods do to partitions they do for members alone.
func member(ctx context.Context, name string) error {
	if info, ok := rpc.InfoFrom(ctx); !ok || !info.Caller.Member || name != "" && info.Caller.Name != name {
		return rpc.Errorf(rpc.PermissionDenied, "only a member may ask this, and for itself alone")
	}
	return nil
}

// where answers what this box knows of partitions.
func (k *keeper) where(ctx context.Context, req *whereRequest) (*whereReply, error) {
	if err := member(ctx, req.From); err != nil {
		return nil, err
	}
	reply := &whereReply{}
	k.mu.Lock()
	for _, p := range req.Partitions {
		h, _ := k.b.ledger.Where(p)
		_, wanted := k.wanted[p]
		a := whereAnswer{Partition: p, Epoch: h.Epoch, To: h.To}
		switch {
		case h.State == ledger.Held:
			a.State = holdsIt
		case h.State == ledger.Giving:
			a.State = givesIt
		case wanted:
			a.State = wantsIt
		case h.State == ledger.Given:
			a.State = hadIt
		default:
			continue
		}
		reply.Answers = append(reply.Answers, a)
	}
	k.mu.Unlock()
	var err error
	reply.Known, err = k.know(ctx, []string{req.From})
	return reply, err
}

// take gives partitions to who owns them.
func (k *keeper) take(ctx context.Context, req *takeRequest) (*takeReply, error) {
	if err := member(ctx, req.From); err != nil {
		return nil, err
	}
	each(req.Have, func(_ int, m moving) { k.given(m) })
	asked := req.Partitions[:min(len(req.Partitions), takeMost)]
	epochs := make([]uint64, len(asked)) // 0: refused
	each(asked, func(i int, p uint32) {
		if k.n.Table().Owner(p) == req.From {
			epochs[i] = k.give(ctx, p, req.From)
		}
	})
	reply := &takeReply{}
	after, size := req.After, 0
	for i, p := range asked {
		if epochs[i] == 0 {
			reply.Refused = append(reply.Refused, p)
		} else if size < chunkBytes {
			c, err := k.b.ledger.Export(p, after, chunkBytes-size)
			if err != nil {
				return nil, rpc.Errorf(rpc.Unavailable, "%v", err)
			}
			reply.Chunks = append(reply.Chunks, chunk{moving{p, epochs[i]}, c})
			size = sizeOf(&c, size)
		}
		after = nil
	}
	return reply, nil
}

// sizeOf adds what a chunk takes of a reply; one that is not the last of its
// partition takes all of it.
func sizeOf(c *ledger.Chunk, size int) int {
	if !c.Last {
		return chunkBytes
	}
	for _, pair := range c.Pairs {
		size += len(pair.Key) + len(pair.Value)
	}
	return size + 64
}

// each runs do for all of a list side by side, so that they share a commit, and
// waits.
func each[T any](list []T, do func(i int, one T)) {
	var wg sync.WaitGroup
	for i, one := range list {
		wg.Go(func() { do(i, one) })
	}
	wg.Wait()
}

// given ends a handover: the partition is on the other's disk. That is so whatever
// becomes of the call that said it.
func (k *keeper) given(m moving) {
	if err := k.b.ledger.Given(k.b.ctx, m.Partition, m.Epoch); err != nil && k.b.ctx.Err() == nil {
		k.b.cfg.Logger.Warn().Err(err).Uint32("partition", m.Partition).Msg("a partition that was given away")
	}
}

// give begins to give a partition to its owner, and gives the epoch; 0 if it is not
// here.
func (k *keeper) give(ctx context.Context, p uint32, to string) uint64 {
	epoch, err := k.b.ledger.Give(ctx, p, to)
	if err == nil {
		return epoch
	}
	if !errors.Is(err, ledger.ErrGiving) || !k.takeBack(ctx, p) {
		return 0
	}
	if epoch, err = k.b.ledger.Give(ctx, p, to); err != nil {
		return 0
	}
	return epoch
}

// takeBack takes back a partition that is on its way to another, if that one promises
// not to take it, and tells whether it is held here now.
func (k *keeper) takeBack(ctx context.Context, p uint32) bool {
	h, _ := k.b.ledger.Where(p)
	if h.State != ledger.Giving {
		return false
	}
	reply, err := refuseMethod.Call(ctx, k.n, &moving{p, h.Epoch}, rpc.Peer(h.To), rpc.Timeout(askTimeout))
	switch {
	case err != nil && k.abandoned(h.To):
		k.b.cfg.Logger.Warn().Uint32("partition", p).Str("to", h.To).Msg("taking back a partition that was on its way to an abandoned node: what that one did with it is lost")
	case err != nil:
		return false // it may have it
	case reply.Here:
		k.given(moving{p, h.Epoch})
		return false
	}
	_, err = k.b.ledger.Reclaim(ctx, p, h.Epoch)
	return err == nil
}

// sweep asks those to whom partitions are on their way whether these have arrived, or
// were refused: the word of it can be lost.
func (k *keeper) sweep() {
	by := map[string][]uint32{}
	for _, p := range k.b.ledger.Held(ledger.Giving) {
		if h, _ := k.b.ledger.Where(p); h.State == ledger.Giving {
			by[h.To] = append(by[h.To], p)
		}
	}
	for to, parts := range by {
		reply, err := whereMethod.Call(k.b.ctx, k.n, &whereRequest{From: k.n.Name(), Partitions: parts}, rpc.Peer(to), rpc.Timeout(askTimeout))
		if err != nil {
			continue
		}
		for _, a := range reply.Answers {
			h, _ := k.b.ledger.Where(a.Partition)
			switch {
			case h.State != ledger.Giving || h.To != to || a.Epoch < h.Epoch:
			case a.State == wantsIt: // and it has refused this epoch: it waits for a later one
				k.takeBack(k.b.ctx, a.Partition)
			default:
				k.given(moving{a.Partition, h.Epoch})
			}
		}
	}
}

// refuse promises not to take a partition, unless it is here.
func (k *keeper) refuse(ctx context.Context, req *moving) (*refuseReply, error) {
	if err := member(ctx, ""); err != nil {
		return nil, err
	}
	err := k.b.ledger.Refuse(ctx, req.Partition, req.Epoch)
	if errors.Is(err, ledger.ErrHeld) {
		return &refuseReply{Here: true}, nil
	}
	if err != nil {
		return nil, rpc.Errorf(rpc.Unavailable, "%v", err)
	}
	return &refuseReply{}, nil
}

// fetch takes partitions from who has them, and tells whether it got any.
func (k *keeper) fetch(from string, parts []uint32) (got bool) {
	req := takeRequest{From: k.n.Name(), Partitions: parts}
	for len(req.Partitions) > 0 || len(req.Have) > 0 {
		reply, err := takeMethod.Call(k.b.ctx, k.n, &req, rpc.Peer(from), rpc.Timeout(k.b.cfg.Attempt))
		if err != nil {
			k.b.cfg.Logger.Debug().Err(err).Str("from", from).Int("partitions", len(req.Partitions)).Msg("partitions cannot be fetched yet")
			return got
		}
		next := takeRequest{From: req.From}
		over := make(map[uint32]bool, len(reply.Refused)+len(reply.Chunks))
		for _, p := range reply.Refused {
			over[p] = true
		}
		arrived := make([]error, len(reply.Chunks))
		each(reply.Chunks, func(i int, c chunk) { arrived[i] = k.b.ledger.Import(k.b.ctx, c.Partition, c.Epoch, c.Chunk) })
		for i, c := range reply.Chunks {
			switch {
			case arrived[i] != nil:
				k.b.cfg.Logger.Warn().Err(arrived[i]).Str("from", from).Uint32("partition", c.Partition).Msg("a partition cannot be taken")
				over[c.Partition] = true
			case c.Chunk.Last:
				over[c.Partition] = true
				next.Have = append(next.Have, c.moving)
			default:
				next.Partitions, next.After = []uint32{c.Partition}, c.Chunk.Next
				over[c.Partition] = true
			}
		}
		got = got || len(next.Have) > 0
		k.b.count(func(c *Counts) { c.Fetched += uint64(len(next.Have)) })
		for _, p := range req.Partitions {
			if !over[p] {
				next.Partitions = append(next.Partitions, p)
			}
		}
		if len(over) == 0 {
			return got // nothing came: another round asks who has them
		}
		req = next
	}
	return got
}

// greet asks the others once, after the start, whether somebody has claimed what this
// node holds: it may have been taken for gone (Config.Orphans). The higher epoch
// counts, so those partitions are let go of, with what only this node knew. It tells
// whether all have answered.
func (k *keeper) greet() bool {
	held := k.b.ledger.Held(ledger.Held)
	if ready, _ := k.n.Ready(); !ready {
		return false
	}
	all := true
	for _, m := range k.n.Members().Members {
		if m.Name == k.n.Name() || len(held) == 0 {
			continue
		}
		reply, err := whereMethod.Call(k.b.ctx, k.n, &whereRequest{From: k.n.Name(), Partitions: held}, rpc.Peer(m.Name), rpc.Timeout(askTimeout))
		if err != nil {
			all = all && rpc.CodeOf(err) == rpc.Unimplemented
			continue
		}
		for _, a := range reply.Answers {
			epoch, ours := k.b.ledger.Holds(a.Partition)
			if (a.State == holdsIt || a.State == givesIt) && ours && a.Epoch > epoch {
				k.yield(a.Partition, a.Epoch, m.Name)
			}
		}
	}
	return all
}

// yield lets go of a partition that another has claimed.
func (k *keeper) yield(p uint32, epoch uint64, to string) {
	err := k.b.ledger.Yield(k.b.ctx, p, epoch, to)
	k.b.count(func(c *Counts) { c.Yielded++ })
	k.b.cfg.Logger.Error().Err(err).Uint32("partition", p).Str("to", to).Msg("a partition was claimed by another node while this one was away: what this one alone knew of it is lost")
}
