package ledger

import (
	"context"
	"fmt"
	"slices"
)

// Where returns what is known of a partition, as committed; false if nothing is.
func (l *Ledger) Where(p uint32) (Holding, bool) {
	v, ok := l.held.Load(p)
	if !ok {
		return Holding{}, false
	}
	return v.(Holding), true
}

// Holds reports whether the partition is held, and with which epoch. It takes no lock.
func (l *Ledger) Holds(p uint32) (epoch uint64, ok bool) {
	h, _ := l.Where(p)
	return h.Epoch, h.State == Held
}

// Held returns the partitions in a state, in order. The slice is the caller's.
func (l *Ledger) Held(state State) []uint32 {
	var out []uint32
	l.held.Range(func(p, h any) bool {
		if h.(Holding).State == state {
			out = append(out, p.(uint32))
		}
		return true
	})
	slices.Sort(out)
	return out
}

// holding returns what is known of a partition within the transaction.
func (t *txn) holding(p uint32) (Holding, bool) {
	pl := place{bucket: t.btx.Bucket(bucketHoldings), name: bucketHoldings, partition: p}
	payload, ok := t.get(pl, partitionKey(p))
	if !ok {
		return Holding{}, false
	}
	h, err := decodeHolding(payload)
	if err != nil {
		_ = t.damaged(err)
		return Holding{}, false
	}
	return h, true
}

func (t *txn) setHolding(p uint32, h Holding) {
	pl := place{bucket: t.btx.Bucket(bucketHoldings), name: bucketHoldings, partition: p}
	t.put(pl, partitionKey(p), encodeHolding(h))
}

// step changes one partition's holding: next says what becomes of it, given what it is. If ok is false it stays so.
// more, if not nil, does the rest, and can't fail but by damage.
func (l *Ledger) step(ctx context.Context, p uint32, next func(Holding) (h Holding, ok bool, err error), more func(*txn)) (Holding, error) {
	var now Holding
	err := l.submit(ctx, func(t *txn) error {
		was, _ := t.holding(p)
		h, ok, err := next(was)
		if t.damage != nil || err != nil || !ok {
			now = was
			return err
		}
		now = h
		t.setHolding(p, h)
		if more != nil {
			more(t)
		}
		return t.damage
	}, func() {
		if now.State != Unknown {
			l.held.Store(p, now)
		}
	})
	return now, err
}

func stepError(err error, p uint32, h Holding) error {
	return fmt.Errorf("%w: partition %d is %s at epoch %d", err, p, h.State, h.Epoch)
}

// Claim takes partitions that nobody has, as they are without state, with an epoch of at least 1: all of them in one
// transaction, or none. Those already held with this epoch stay as they are. Errors: ErrHeld if one is held with another
// epoch or being given; ErrOldEpoch if a later epoch, or the same, is known of it otherwise.
//
// The caller answers for nobody else having them. If somebody has and comes back, the one with the higher epoch counts.
func (l *Ledger) Claim(ctx context.Context, parts []uint32, epoch uint64) error {
	if epoch == 0 {
		return fmt.Errorf("%w: epoch 0", ErrOldEpoch)
	}
	return l.submit(ctx, func(t *txn) error {
		for _, p := range parts {
			h, _ := t.holding(p)
			switch {
			case t.damage != nil:
				return t.damage
			case h.State == Held && h.Epoch != epoch, h.State == Giving:
				return stepError(ErrHeld, p, h)
			case h.State != Held && h.Epoch >= epoch:
				return stepError(ErrOldEpoch, p, h)
			}
		}
		for _, p := range parts {
			if h, _ := t.holding(p); h.State != Held {
				t.dropStage(p)
				t.setHolding(p, Holding{State: Held, Epoch: epoch})
			}
		}
		return t.damage
	}, func() {
		for _, p := range parts {
			l.held.Store(p, Holding{State: Held, Epoch: epoch})
		}
	})
}

// Give begins the handover of a partition to a node, which must be named: once it returns, no call of the partition
// changes anything here. It returns the epoch that the other node will have it with. For the same node it may be called
// again. Errors: ErrGiving if it goes to another node, ErrNotHeld.
func (l *Ledger) Give(ctx context.Context, p uint32, to string) (epoch uint64, err error) {
	h, err := l.step(ctx, p, func(h Holding) (Holding, bool, error) {
		switch {
		case h.State == Giving && h.To == to:
			return h, false, nil
		case h.State == Giving:
			return h, false, stepError(ErrGiving, p, h)
		case h.State != Held || to == "":
			return h, false, &NotHeldError{Partition: p, State: h.State, To: h.To}
		}
		return Holding{State: Giving, Epoch: h.Epoch + 1, To: to}, true, nil
	}, nil)
	if err != nil {
		return 0, err
	}
	return h.Epoch, nil
}

// Given ends a handover: the other node has the partition on its disk (its Import of the last chunk has returned), so
// the copy here is deleted. What is remembered is where it went. It may be called again. Errors: ErrOldEpoch if the
// handover under way is another one or none.
func (l *Ledger) Given(ctx context.Context, p uint32, epoch uint64) error {
	_, err := l.step(ctx, p, func(h Holding) (Holding, bool, error) {
		switch {
		case h.State == Given && h.Epoch == epoch:
			return h, false, nil
		case h.State != Giving || h.Epoch != epoch:
			return h, false, stepError(ErrOldEpoch, p, h)
		}
		return Holding{State: Given, Epoch: epoch, To: h.To}, true, nil
	}, func(t *txn) { t.dropPart(p) })
	return err
}

// Reclaim takes back a partition that was to be given with epoch, and returns the new epoch. The other node must have
// promised first that it won't take it (its Refuse has returned). It may be called again. Errors: ErrOldEpoch if the
// handover under way is another one or none.
func (l *Ledger) Reclaim(ctx context.Context, p uint32, epoch uint64) (now uint64, err error) {
	h, err := l.step(ctx, p, func(h Holding) (Holding, bool, error) {
		switch {
		case h.State == Held && h.Epoch == epoch+1:
			return h, false, nil
		case h.State != Giving || h.Epoch != epoch:
			return h, false, stepError(ErrOldEpoch, p, h)
		}
		return Holding{State: Held, Epoch: epoch + 1}, true, nil
	}, nil)
	if err != nil {
		return 0, err
	}
	return h.Epoch, nil
}

// Refuse promises that this ledger will never take the partition with this epoch or an older one, and forgets what had
// arrived of it. Then the giver may Reclaim it, and chunks that are still on their way do no harm. It may be called
// again. Errors: ErrHeld if the partition came here with this epoch or a later one, wherever it is now: then the giver
// calls Given. ErrHeld also if it is held with an earlier epoch (see Yield).
func (l *Ledger) Refuse(ctx context.Context, p uint32, epoch uint64) error {
	_, err := l.step(ctx, p, func(h Holding) (Holding, bool, error) {
		switch {
		case h.State == Refused && h.Epoch >= epoch:
			return h, false, nil
		case h.Epoch >= epoch, h.State == Held:
			return h, false, stepError(ErrHeld, p, h)
		}
		return Holding{State: Refused, Epoch: epoch}, true, nil
	}, func(t *txn) { t.dropStage(p) })
	return err
}

// Yield gives up a partition, held or being given, without a handover, because another node has it with a later epoch:
// somebody claimed it while this node was thought to be gone for good. What was done here since is lost, which is the
// price of such a claim. It may be called again. Errors: ErrOldEpoch if the epoch is not later than the one known here.
func (l *Ledger) Yield(ctx context.Context, p uint32, epoch uint64, to string) error {
	_, err := l.step(ctx, p, func(h Holding) (Holding, bool, error) {
		now := Holding{State: Given, Epoch: epoch, To: to}
		if h != now && h.Epoch >= epoch {
			return h, false, stepError(ErrOldEpoch, p, h)
		}
		return now, h != now, nil
	}, func(t *txn) { t.dropStage(p) })
	return err
}
