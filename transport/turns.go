package transport

import (
	"context"
	"slices"
	"time"
)

// gather is how many bytes may be queued before more large bodies wait for
// their turn: what gathers beyond the caches is slower to write than to wait
// for.
const gather = 256 << 10

// turns are those who wait to queue a large body, first come first served. Each
// who is let go lets the next one go, if there is still room. It is guarded by
// the writer's mu.
type turns struct {
	waiting []chan struct{} // each of capacity 1
	head    int             // of those in waiting that are not let go yet
}

func (t *turns) any() bool { return t.head < len(t.waiting) }

func (t *turns) enlist() chan struct{} {
	ch := make(chan struct{}, 1)
	t.waiting = append(t.waiting, ch)
	return ch
}

// letGo lets one go.
func (t *turns) letGo() {
	for t.any() {
		next := t.waiting[t.head]
		t.waiting[t.head] = nil
		if t.head++; !t.any() {
			t.waiting, t.head = t.waiting[:0], 0
		}
		if next != nil {
			next <- struct{}{}
			return
		}
	}
}

// leave takes one out who does not wait any more. If he was let go, it is the
// next one's turn.
func (t *turns) leave(ch chan struct{}) {
	if i := slices.Index(t.waiting[t.head:], ch); i >= 0 {
		t.waiting[t.head+i] = nil
		return
	}
	t.letGo()
}

// awaitTurnLocked waits until body may be queued, due comes, or ctx or the
// connection ends. It gives the writer's lock up meanwhile; it is held again in
// the end. Errors are unsent.
func (c *Conn) awaitTurnLocked(ctx context.Context, due time.Time, body []byte) error {
	if len(body) < directBody || c.out.err != nil || len(c.out.buf) < gather && !c.out.turns.any() {
		return nil
	}
	turn := c.out.turns.enlist()
	c.out.mu.Unlock()
	err := c.awaitTurn(ctx, due, turn)
	c.out.mu.Lock()
	if err != nil {
		c.out.turns.leave(turn)
	}
	return err
}

func (c *Conn) awaitTurn(ctx context.Context, due time.Time, turn <-chan struct{}) error {
	var late <-chan time.Time
	if !due.IsZero() {
		timer := time.NewTimer(time.Until(due))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-turn:
	case <-c.closed: // whoever queues learns why
	case <-late:
		return context.DeadlineExceeded
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}
