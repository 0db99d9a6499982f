package transport

import (
	"context"
	"errors"
	"testing"
	"time"
)

// Those who wait with large bodies behind a peer that does not read give up in
// time, and one who gives up takes nobody's turn: the rest go on when the peer
// reads again.
func TestTurnsAreNotLost(t *testing.T) {
	l := &lab{t, newMemNet(1000)}
	h := l.host(Config{Name: "b", Handler: echo{}})
	c := l.dial(l.endpoint(Config{Name: "a"}), h)
	far := h.far(t)
	hold := make(chan struct{})
	far.serving.mu.Lock() // the peer's reader stops at the next call
	go func() { <-hold; far.serving.mu.Unlock() }()
	const callers = 40
	body := make([]byte, 60<<10)
	var patient, hasty []<-chan answer
	for i := range callers {
		req := &Request{Method: "echo", Body: body}
		if i%2 == 0 {
			req.Deadline = time.Now().Add(50 * time.Millisecond)
			hasty = append(hasty, goCall(context.Background(), c, req))
		} else {
			patient = append(patient, goCall(context.Background(), c, req))
		}
	}
	for _, ch := range hasty {
		if a := receive(t, "end of a call with a deadline", ch); !errors.Is(a.err, context.DeadlineExceeded) {
			t.Errorf("a call with a deadline ended by %v", a.err)
		}
	}
	close(hold)
	for _, ch := range patient {
		same(t, "answer", receive(t, "answer", ch), answer{})
	}
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	same(t, "waiting", c.out.turns.any(), false)
}
