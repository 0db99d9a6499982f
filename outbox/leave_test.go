package outbox

import (
	"errors"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// A node that leaves as the last one does not wait for the calls that it cannot make:
// each attempt would take as long as it may.
func TestLastLeavesAtOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cfg.Attempt = time.Hour
	a := l.start("a")
	l.settled(a)
	id := a.enqueue("k", &add{N: 1, Fail: "Unavailable"})
	a.leave()
	a = l.start("a")
	if letter := a.show(id); letter.State != "pending" {
		t.Errorf("%+v", letter)
	}
	if l, err := a.box.Cancel(l.within(), id); err != nil {
		t.Errorf("%+v, %v", l, err)
	}
}

// A node that leaves others behind hands over what it holds, and waits for no call
// whose owner cannot be reached.
func TestLeaveWithPending(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cfg.Attempt = time.Hour
	a, b := l.start("a"), l.start("b")
	l.settled(a, b)
	key := a.keyOf("b")
	b.crash()
	id := a.enqueue(key, &add{N: 1})
	c := l.start("c")
	l.until("c is in a's table, and b is not", func() error {
		if tab := a.n.Table(); !tab.Has("c") || tab.Has("b") {
			return errors.New("not yet")
		}
		return nil
	})
	a.leave()
	if letters := c.box.List(0, nil); len(letters) != 0 {
		t.Errorf("%+v", letters)
	}
	a = l.start("a")
	if letter := a.show(id); letter.State != "pending" {
		t.Errorf("%+v", letter)
	}
	l.start("b")
	if _, err := a.await(id); err != nil && !errors.Is(err, rpc.NotFound) {
		t.Error(err)
	}
}
