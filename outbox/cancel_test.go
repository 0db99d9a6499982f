package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// typo is a method that nobody serves.
var typo = rpc.NewMethod[add, sum]("lab.Ad")

// poison enqueues a call that no node serves, and waits until it was tried.
func (m *machine) poison(key string) string {
	m.l.Helper()
	id, err := typo.Enqueue(m.l.within(), m.box, &add{N: 1}, rpc.Key(key))
	if err != nil {
		m.l.Fatal(err)
	}
	m.l.until("it was tried", func() error {
		if l := m.show(id); l.Attempts == 0 || l.Reason == "" {
			return fmt.Errorf("%+v", l)
		}
		return nil
	})
	return id
}

func (m *machine) show(id string) Letter {
	m.l.Helper()
	l, err := m.box.Show(id)
	if err != nil {
		m.l.Fatal(err)
	}
	return l
}

// A call that waits for another of its key says which, and how that one fares.
func TestBlockedSaysBy(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	poison := a.poison("k")
	first, second := a.enqueue("k", &add{N: 1}), a.enqueue("k", &add{N: 2})
	for _, id := range []string{first, second} {
		letter := a.show(id)
		b := letter.Behind
		if b == nil || b.ID != poison || b.Method != "lab.Ad" || b.Key != "k" || b.Attempts == 0 || !strings.Contains(b.Reason, "Unimplemented") {
			t.Fatalf("%+v, behind %+v", letter, b)
		}
		for _, want := range []string{"waits for " + poison, "lab.Ad", `"k"`, "Unimplemented"} {
			if !strings.Contains(letter.Reason, want) {
				t.Errorf("%q is not in %q", want, letter.Reason)
			}
		}
	}
	if letter := a.show(poison); letter.Behind != nil || letter.MayHaveRun || time.Until(letter.GivesUp) < DefaultGiveUpAfter/2 {
		t.Errorf("the first: %+v", letter)
	}
	if s := a.box.Status(); s.Pending != 3 || s.Blocked != 2 || s.Failing != 1 {
		t.Errorf("%+v", s)
	}
}

// A pending call can be cancelled where it is: before any attempt, behind another, in
// a pause, and while it is executed. The next one of its key is made, and whoever waits
// hears of it. What may have been executed says so.
func TestCancel(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	inside, out := make(chan struct{}), make(chan struct{})
	l.serve = func(m *machine) {
		addMethodSlow.Handle(m.box.Guard(m.n), func(context.Context, *add) (*sum, error) {
			close(inside)
			<-out
			return &sum{}, nil
		})
	}
	a := l.start("a")
	t.Cleanup(func() { close(out) }) // before the machine stops
	poison := a.poison("k")
	behind, last := a.enqueue("k", &add{N: 1}), a.enqueue("k", &add{N: 2})
	heard := make(chan error, 1)
	go func() {
		_, err := a.await(behind)
		heard <- err
	}()
	letter, err := a.box.Cancel(l.within(), behind)
	if err != nil || letter.State != "dead" || letter.MayHaveRun || !strings.Contains(letter.Reason, "no attempt") {
		t.Errorf("behind another: %+v, %v", letter, err)
	}
	if err := <-heard; !errors.Is(err, rpc.Canceled) {
		t.Errorf("who waited for it heard %v", err)
	}
	if letter, err = a.box.Cancel(l.within(), poison); err != nil || letter.MayHaveRun || !strings.Contains(letter.Reason, "Unimplemented") {
		t.Errorf("in a pause: %+v, %v", letter, err)
	}
	if s, err := a.await(last); err != nil || *s != (sum{2, 1}) {
		t.Errorf("the next one: %+v, %v", s, err)
	}
	slow, err := addMethodSlow.Enqueue(l.within(), a.box, &add{}, rpc.Key("k"))
	if err != nil {
		t.Fatal(err)
	}
	<-inside
	next := a.enqueue("k", &add{N: 3})
	if letter, err = a.box.Cancel(l.within(), slow); err != nil || !letter.MayHaveRun || !strings.Contains(letter.Reason, "may have been executed") {
		t.Errorf("while it is executed: %+v, %v", letter, err)
	}
	if s, err := a.await(next); err != nil || *s != (sum{5, 2}) {
		t.Errorf("the one after that: %+v, %v", s, err)
	}
	for id, want := range map[string]rpc.Code{"none": rpc.NotFound, slow: rpc.FailedPrecondition, last: rpc.FailedPrecondition} {
		if _, err := a.box.Cancel(l.within(), id); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", id, err, want)
		}
	}
}

var addMethodSlow = rpc.NewMethod[add, sum]("lab.Slow")

// What was cancelled stays so over a restart, with what is known of it, also by a
// checkpoint, and is not made; a directory that no process uses can be cleared, too.
func TestCancelStays(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	poison := a.poison("k")
	letter, err := a.box.Cancel(l.within(), poison)
	if err != nil {
		t.Fatal(err)
	}
	other, after := a.poison("k"), a.enqueue("k", &add{N: 1})
	if err := a.box.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	a.crash()
	box, err := Open(a.dir, Config{})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := box.Show(poison); err != nil || again.State != "dead" || again.Reason != letter.Reason || again.MayHaveRun {
		t.Errorf("%+v, %v; was %+v", again, err, letter)
	}
	if l, err := box.Cancel(t.Context(), other); err != nil || !l.MayHaveRun {
		t.Errorf("of an earlier process: %+v, %v", l, err)
	}
	if err := box.Drop(other); err != nil {
		t.Error(err)
	}
	if err := box.Close(); err != nil {
		t.Fatal(err)
	}
	a = l.start("a")
	if s, err := a.await(after); err != nil || *s != (sum{1, 1}) {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := a.await(poison); !errors.Is(err, rpc.Canceled) {
		t.Errorf("%v", err)
	}
	if err := a.box.Retry(poison); err != nil { // and a person may have it made after all
		t.Error(err)
	}
	l.until("it is tried again", func() error {
		if l := a.show(poison); l.State != "pending" || l.Attempts == 0 {
			return fmt.Errorf("%+v", l)
		}
		return nil
	})
}
