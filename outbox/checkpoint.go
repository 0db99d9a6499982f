package outbox

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/meshnode/meshnode/internal/redo"
)

// moved is where a checkpoint has put a call's records.
type moved struct {
	e             *entry
	from, fromEnd redo.Position // where they were
	call, end     redo.Position // and are now
	hasEnd        bool
}

// Checkpoint writes down what the box holds, so that the log before it can go. It
// is made by itself when enough was logged; calls are taken and made meanwhile.
func (b *Box) Checkpoint() error {
	b.checkpoints.Lock()
	defer b.checkpoints.Unlock()
	cp, err := b.log.Begin()
	if err != nil {
		return fmt.Errorf("outbox: checkpoint: %w", err)
	}
	b.mu.Lock() // after Begin: what is not seen here is in the log behind the checkpoint
	b.logged = 0
	live := make([]moved, 0, len(b.index))
	for _, e := range b.index {
		if e.status != writing {
			live = append(live, moved{e: e, from: e.pos, fromEnd: e.end, hasEnd: e.status != pending})
		}
	}
	box := boxRecord{box: b.box, next: b.next}
	b.mu.Unlock()
	slices.SortFunc(live, func(x, y moved) int { return cmp.Compare(x.e.seq, y.e.seq) })
	if err := b.writeCheckpoint(cp, &box, live); err != nil {
		cp.Abort()
		return fmt.Errorf("outbox: checkpoint: %w", err)
	}
	b.mu.Lock()
	for i := range live {
		m := &live[i]
		if m.e.pos == m.from {
			m.e.pos = m.call
		}
		if m.hasEnd && m.e.end == m.fromEnd {
			m.e.end = m.end
		}
	}
	b.counts.Checkpoints++
	b.mu.Unlock()
	if err := cp.Release(); err != nil {
		return fmt.Errorf("outbox: what a checkpoint replaces cannot be removed: %w", err)
	}
	return nil
}

func (b *Box) writeCheckpoint(cp *redo.Checkpoint, box *boxRecord, live []moved) error {
	if _, err := cp.Add(kindBox, box.append(nil)); err != nil {
		return err
	}
	copyOf := func(pos redo.Position) (redo.Position, error) {
		rec, err := b.log.Read(pos, nil)
		if err != nil {
			return redo.Position{}, err
		}
		return cp.Add(rec.Kind, rec.Data)
	}
	for i := range live {
		m := &live[i]
		var err error
		if m.call, err = copyOf(m.from); err != nil {
			return err
		}
		if m.hasEnd {
			if m.end, err = copyOf(m.fromEnd); err != nil {
				return err
			}
		}
	}
	return cp.Commit()
}

// checkpointDue tells whether enough was logged since the latest one: as much as
// configured, and as the pending calls take.
func (b *Box) checkpointDue() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.broken == nil && b.logged >= b.cfg.Checkpoint
}
