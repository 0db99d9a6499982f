package outbox

import (
	"context"

	"github.com/meshnode/meshnode/internal/ledger"
	"github.com/meshnode/meshnode/rpc"
)

// where answers what this box knows of partitions.
func (k *keeper) where(_ context.Context, req *whereRequest) (*whereReply, error) {
	reply := &whereReply{}
	k.mu.Lock()
	for _, p := range req.Partitions {
		h, known := k.b.ledger.Where(p)
		_, wanted := k.wanted[p]
		a := whereAnswer{Partition: p, Epoch: h.Epoch, To: h.To}
		switch {
		case known && h.To == "":
			a.State = holdsIt
		case known:
			a.State = givesIt
		case k.importing[p]:
			a.State = importsIt
		case wanted:
			a.State = wantsIt
		default:
			continue
		}
		reply.Answers = append(reply.Answers, a)
	}
	k.mu.Unlock()
	var err error
	reply.Known, err = k.b.ledger.Know([]string{req.From})
	return reply, err
}

// take gives partitions to who owns them.
func (k *keeper) take(ctx context.Context, req *takeRequest) (*takeReply, error) {
	if len(req.Have) > 0 {
		if err := k.b.ledger.Given(req.Have, req.From); err != nil {
			return nil, rpc.Errorf(rpc.Unavailable, "%v", err)
		}
	}
	reply := &takeReply{}
	var give []uint32
	for _, p := range req.Partitions {
		if k.n.Table().Owner(p) == req.From && k.free(ctx, p, req.From) {
			give = append(give, p)
		} else {
			reply.Refused = append(reply.Refused, p)
		}
	}
	epochs, err := k.b.ledger.Give(give, req.From)
	if err != nil {
		return nil, rpc.Errorf(rpc.Unavailable, "%v", err)
	}
	after := req.After
	for i, size := 0, 0; i < len(epochs) && size < chunkBytes && reply.After == nil; i++ {
		c, err := k.b.ledger.Export(epochs[i], after, chunkBytes-size)
		if err != nil {
			return nil, rpc.Errorf(rpc.Internal, "%v", err)
		}
		after = nil
		if !c.Last {
			reply.After = c.Next
		}
		size += c.Size()
		reply.Chunks = append(reply.Chunks, c)
	}
	return reply, nil
}

// free tells whether a partition can be given to somebody: it is held here, or on
// its way to him, or on its way to another who does not have it and, having said
// so, will not take it any more.
func (k *keeper) free(ctx context.Context, p uint32, to string) bool {
	h, known := k.b.ledger.Where(p)
	switch {
	case !known:
		return false
	case h.To == "" || h.To == to:
		return true
	}
	reply, err := whereMethod.Call(ctx, k.n, &whereRequest{From: k.n.Name(), Partitions: []uint32{p}}, rpc.Peer(h.To), rpc.Timeout(askTimeout))
	if err != nil {
		return false // it may have it
	}
	for _, a := range reply.Answers {
		switch a.State {
		case holdsIt, givesIt:
			if a.Epoch >= h.Epoch {
				_ = k.b.ledger.Given([]ledger.Epoch{{Partition: p, Epoch: h.Epoch}}, h.To)
				return false
			}
		case importsIt:
			return false
		}
	}
	return k.b.ledger.Reclaim(p, h.Epoch) == nil
}

// fetch takes partitions from who holds them, and tells whether it got any.
func (k *keeper) fetch(from string, parts []uint32) (got bool) {
	k.setImporting(parts, true)
	defer k.setImporting(parts, false)
	req := takeRequest{From: k.n.Name(), Partitions: parts}
	for len(req.Partitions) > 0 || len(req.Have) > 0 {
		reply, err := takeMethod.Call(k.b.ctx, k.n, &req, rpc.Peer(from), rpc.Timeout(k.b.cfg.Attempt))
		if err != nil {
			k.b.cfg.Logger.Warn().Err(err).Str("from", from).Int("partitions", len(req.Partitions)).Msg("partitions cannot be fetched yet")
			return got
		}
		have, err := k.b.ledger.Import(reply.Chunks, from)
		if err != nil {
			k.b.cfg.Logger.Error().Err(err).Msg("partitions cannot be taken")
			return got
		}
		got = got || len(have) > 0
		k.b.count(func(c *Counts) { c.Fetched += uint64(len(have)) })
		req = takeRequest{From: k.n.Name(), Partitions: rest(req.Partitions, reply), After: reply.After, Have: have}
	}
	return got
}

// rest gives what is still to come: what was neither refused nor came whole.
func rest(asked []uint32, reply *takeReply) []uint32 {
	over := make(map[uint32]bool, len(asked))
	for _, p := range reply.Refused {
		over[p] = true
	}
	for _, c := range reply.Chunks {
		over[c.Partition] = c.Last
	}
	var left []uint32
	for _, p := range asked {
		if !over[p] {
			left = append(left, p)
		}
	}
	if len(reply.Chunks) == 0 {
		return nil // nothing came: another round asks who has them
	}
	return left
}

func (k *keeper) setImporting(parts []uint32, on bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range parts {
		if on {
			k.importing[p] = true
		} else {
			delete(k.importing, p)
		}
	}
}
