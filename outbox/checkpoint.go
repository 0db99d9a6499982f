package outbox

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/meshnode/meshnode/internal/redo"
)

// moved is a call as a checkpoint has it, and where its record was and is now.
type moved struct {
	e        *entry
	from, to redo.Position
	expires  int64
	kind     uint8 // of end; 0: it has not ended
	end      endRecord
}

// Checkpoint writes down what the box holds, so that the log before it can go. It
// is made by itself when enough was logged; calls are taken and made meanwhile.
func (b *Box) Checkpoint() error {
	b.checkpoints.Lock()
	defer b.checkpoints.Unlock()
	b.writes.Lock() // what was appended before Begin is in index, too, when the list is made
	cp, err := b.log.Begin()
	b.writes.Unlock()
	if err != nil {
		return fmt.Errorf("outbox: checkpoint: %w", err)
	}
	b.mu.Lock() // after Begin: what is not seen here is in the log behind the checkpoint
	b.logged = 0
	live := make([]moved, 0, len(b.index))
	for _, e := range b.index {
		if e.status != writing {
			live = append(live, e.movedLocked())
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
		live[i].e.pos = live[i].to
	}
	b.counts.Checkpoints++
	b.mu.Unlock()
	if err := cp.Release(); err != nil {
		return fmt.Errorf("outbox: what a checkpoint replaces cannot be removed: %w", err)
	}
	return nil
}

func (e *entry) movedLocked() moved {
	m := moved{e: e, from: e.pos, expires: e.expires, end: endRecord{
		seq: e.seq, ended: e.ended, attempts: e.attempts, code: e.code, doubt: e.doubt, message: e.message, reply: e.reply,
	}}
	switch e.status {
	case done:
		m.kind = kindDone
	case dead:
		m.kind = kindDead
	}
	return m
}

func (b *Box) writeCheckpoint(cp *redo.Checkpoint, box *boxRecord, live []moved) error {
	if _, err := cp.Add(kindBox, box.append(nil)); err != nil {
		return err
	}
	for i := range live {
		m := &live[i]
		rec, err := b.log.Read(m.from, nil)
		if err != nil {
			return err
		}
		call, err := decodeCall(rec.Data)
		if err != nil {
			return err
		}
		call.expires = m.expires // a dead letter that is tried again has another one
		if m.to, err = cp.Add(kindCall, call.append(nil)); err != nil {
			return err
		}
		if m.kind == 0 {
			continue
		}
		if _, err := cp.Add(m.kind, m.end.append(nil)); err != nil {
			return err
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
