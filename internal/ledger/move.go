package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
)

// Pair is an entry of a partition on its way to another node: of the application's state or of the outcomes of calls.
type Pair struct{ Key, Value []byte }

// Chunk is a part of a partition's state. Those of one handover follow each other: each begins where the one before
// ended, and the last one completes it.
type Chunk struct {
	After []byte // Next of the chunk before; empty in the first one
	Next  []byte // where it ends
	Pairs []Pair // in order
	Last  bool
}

// Export returns the part of a partition's state behind after, nil for the first one, of about limit bytes but at least
// one pair. It may be asked for as often as needed, in any order. The slices are the caller's. Errors: ErrNotHeld unless
// the partition is being given, ErrCorrupt and the like.
func (l *Ledger) Export(p uint32, after []byte, limit int) (c Chunk, err error) {
	err = l.read(func(t *txn) error {
		if h, _ := t.holding(p); h.State != Giving {
			return &NotHeldError{Partition: p, State: h.State, To: h.To}
		}
		c = t.export(t.part(p, false), after, limit)
		return t.damage
	})
	if err != nil {
		return Chunk{}, err
	}
	return c, nil
}

func (t *txn) export(part place, after []byte, limit int) Chunk {
	c := Chunk{After: bytes.Clone(after), Next: bytes.Clone(after)}
	for size := 0; size < limit || len(c.Pairs) == 0; {
		k, v, ok := t.seek(part, append(bytes.Clone(c.Next), 0))
		if !ok {
			c.Last = true
			break
		}
		c.Pairs = append(c.Pairs, Pair{Key: bytes.Clone(k), Value: bytes.Clone(v)})
		c.Next = bytes.Clone(k)
		size += len(k) + len(v)
	}
	return c
}

// Import takes a chunk of a partition that is given to this node with epoch. What has arrived is kept over a restart;
// Arrived says how far it is. With the last chunk, in the same transaction, the partition becomes held.
//
// It returns nil also for a chunk that it has already, and once the partition has become held with that epoch. A copy
// that is here from giving it with an earlier epoch is dropped: that it comes back shows that it had arrived. Errors: ErrGap if the chunk begins behind what is there: go on behind Arrived, or with the first one, which begins anew with an
// epoch later than what is there, and else may end elsewhere than the first time; ErrRefused after Refuse; ErrOldEpoch if this node knows of a later one, so
// that the giver's copy is worth nothing any more; ErrHeld if the partition is held with an earlier one, which is so only
// after a Claim of what somebody had (see Yield); ErrBadChunk.
func (l *Ledger) Import(ctx context.Context, p uint32, epoch uint64, c Chunk) error {
	if err := c.check(); err != nil {
		return err
	}
	var now Holding
	return l.submit(ctx, func(t *txn) error {
		err := t.arrive(p, epoch, c)
		now, _ = t.holding(p)
		return err
	}, func() {
		if slices.ContainsFunc(c.Pairs, func(pair Pair) bool { return accuses(pair.Key) }) {
			l.accused.Store(true)
		}
		if now.State != Unknown {
			l.held.Store(p, now)
		}
	})
}

func (c *Chunk) check() error {
	before := c.After
	for _, pair := range c.Pairs {
		if bytes.Compare(before, pair.Key) >= 0 {
			return fmt.Errorf("%w: out of order", ErrBadChunk)
		}
		if len(pair.Key) > MaxKey+MaxName+2 || len(pair.Value) > MaxValue+doneHead {
			return fmt.Errorf("%w: pair too large", ErrBadChunk)
		}
		if err := checkPair(pair.Key, pair.Value); err != nil {
			return fmt.Errorf("%w: %w", ErrBadChunk, err)
		}
		before = pair.Key
	}
	if !bytes.Equal(before, c.Next) || len(c.Pairs) == 0 && !c.Last {
		return fmt.Errorf("%w: ends elsewhere", ErrBadChunk)
	}
	return nil
}

// arrive does what Import says. It fails before it writes, or not at all.
func (t *txn) arrive(p uint32, epoch uint64, c Chunk) error {
	h, _ := t.holding(p)
	switch {
	case t.damage != nil:
		return t.damage
	case h.State == Held && h.Epoch == epoch:
		return nil
	case h.State == Refused && epoch <= h.Epoch:
		return stepError(ErrRefused, p, h)
	case epoch <= h.Epoch:
		return stepError(ErrOldEpoch, p, h)
	case h.State == Held:
		return stepError(ErrHeld, p, h)
	case h.State == Giving && len(c.After) > 0:
		return stepError(ErrGap, p, h)
	case h.State == Giving: // it comes back before this node has learnt that it had arrived
		t.setHolding(p, Holding{State: Given, Epoch: h.Epoch, To: h.To})
	}
	s, there := t.stage(p)
	switch {
	case there && epoch < s.epoch:
		return fmt.Errorf("%w: partition %d arrives with epoch %d", ErrOldEpoch, p, s.epoch)
	case there && epoch == s.epoch && !c.Last && bytes.Compare(c.Next, s.at) <= 0:
		return nil // once more
	case there && epoch == s.epoch && bytes.Compare(c.After, s.at) <= 0: // it may overlap: one epoch has one content
	case len(c.After) == 0 && (!there || epoch > s.epoch):
		t.dropStage(p)
	default:
		return fmt.Errorf("%w: partition %d, epoch %d", ErrGap, p, epoch)
	}
	return t.take(p, epoch, c)
}

func (t *txn) take(p uint32, epoch uint64, c Chunk) error {
	part := t.part(p, len(c.Pairs) > 0)
	for _, pair := range c.Pairs {
		if pair.Key[0] == kindHorizon {
			t.raise(part, int64(binary.LittleEndian.Uint64(pair.Value)))
			continue
		}
		t.put(part, pair.Key, pair.Value)
	}
	if c.Last {
		t.delete(t.stages(p), partitionKey(p))
		t.setHolding(p, Holding{State: Held, Epoch: epoch})
	} else {
		t.put(t.stages(p), partitionKey(p), encodeStage(stage{epoch: epoch, at: c.Next}))
	}
	return t.damage
}

// Arrived returns how far the import of a partition has come: its epoch, and Next of the latest chunk. ok is false if
// none is under way.
func (l *Ledger) Arrived(p uint32) (epoch uint64, next []byte, ok bool, err error) {
	err = l.read(func(t *txn) error {
		s, there := t.stage(p)
		epoch, next, ok = s.epoch, bytes.Clone(s.at), there
		return t.damage
	})
	return epoch, next, ok, err
}

func (t *txn) stages(p uint32) place {
	return place{bucket: t.btx.Bucket(bucketStages), name: bucketStages, partition: p}
}

func (t *txn) stage(p uint32) (stage, bool) {
	payload, ok := t.get(t.stages(p), partitionKey(p))
	if !ok {
		return stage{}, false
	}
	s, err := decodeStage(payload)
	if err != nil {
		_ = t.damaged(err)
		return stage{}, false
	}
	return s, true
}

// dropStage forgets what has arrived of a partition. The caller has made sure that it is not held.
func (t *txn) dropStage(p uint32) {
	t.delete(t.stages(p), partitionKey(p))
	t.dropPart(p)
}
