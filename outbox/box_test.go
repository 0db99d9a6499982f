package outbox

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// A call is made once, its result can be had, and the same id is the same call.
func TestOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	id := a.enqueue("k", &add{N: 5}, rpc.ID("one"))
	if s, err := a.await(id); err != nil || *s != (sum{5, 1}) {
		t.Errorf("%+v, %v", s, err)
	}
	if again := a.enqueue("k", &add{N: 5}, rpc.ID("one")); again != "one" {
		t.Errorf("id %q", again)
	}
	if _, err := addMethod.Enqueue(l.within(), a.box, &add{N: 6}, rpc.Key("k"), rpc.ID("one")); !errors.Is(err, rpc.FailedPrecondition) {
		t.Errorf("other arguments under one id: %v", err)
	}
	if s, err := addMethod.Call(l.within(), a.n, &add{N: 1}, rpc.Key("k")); err != nil || *s != (sum{6, 2}) {
		t.Errorf("an ordinary call: %+v, %v", s, err)
	}
	if _, err := a.await("another"); !errors.Is(err, rpc.NotFound) {
		t.Errorf("an id that nobody has: %v", err)
	}
}

// What was taken is made by whoever opens the directory next, and what was executed
// is not executed again.
func TestReopen(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	first := a.enqueue("k", &add{N: 1})
	if _, err := a.await(first); err != nil {
		t.Fatal(err)
	}
	a.n.Close() // calls are taken, and cannot be made
	var ids []string
	for i := range 20 {
		ids = append(ids, a.enqueue("k", &add{N: uint64(i)}))
	}
	a.crash()
	a = l.start("a")
	for _, id := range append(ids, first) {
		if _, err := a.await(id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if s := l.sumOf(a, "k"); s != (sum{191, 21}) {
		t.Errorf("%+v", s)
	}
	if f := a.box.Recovery(); f.Pending != 20 || f.Done != 1 || f.Oldest.IsZero() {
		t.Errorf("%+v", f)
	}
}

// The same after a checkpoint, and with one that was made while calls ran.
func TestCheckpoint(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 50 {
				a.enqueue(fmt.Sprint("k", w), &add{N: 1}, rpc.ID(fmt.Sprintf("%d-%d", w, i)))
			}
		})
	}
	for range 5 {
		if err := a.box.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	a.crash()
	a = l.start("a")
	for w := range 8 {
		for i := range 50 {
			if _, err := a.await(fmt.Sprintf("%d-%d", w, i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if s := a.box.Status(); s.Counts.Executed+s.Counts.Duplicates == 0 && s.Done != 400 {
		t.Errorf("%+v", s)
	}
	seen := map[uint32]uint64{}
	for w := range 8 {
		key := fmt.Sprint("k", w)
		seen[a.n.Table().Partition(key)] = l.sumOf(a, key).Sum
	}
	total := uint64(0)
	for _, s := range seen {
		total += s
	}
	if total != 400 {
		t.Errorf("%d effects of 400 calls", total)
	}
}

// What is refused for good, or expires, is a dead letter with its reason; a person
// has it tried again or drops it. It undoes what it wrote, and holds up nobody.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	refused := a.enqueue("k", &add{N: 1, Fail: "InvalidArgument"})
	expired := a.enqueue("k", &add{N: 2, Fail: "Unavailable"}, rpc.Timeout(300*time.Millisecond))
	after := a.enqueue("k", &add{N: 3})
	if s, err := a.await(after); err != nil || *s != (sum{3, 1}) {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := a.await(refused); !errors.Is(err, rpc.InvalidArgument) {
		t.Errorf("refused: %v", err)
	}
	if _, err := a.await(expired); !errors.Is(err, rpc.DeadlineExceeded) {
		t.Errorf("expired: %v", err)
	}
	a.crash()
	a = l.start("a")
	letters := a.box.List(0, func(l Letter) bool { return l.State == "dead" })
	if len(letters) != 2 || letters[0].ID != refused || letters[1].Reason == "" {
		t.Fatalf("%+v", letters)
	}
	if err := a.box.Retry(refused); err != nil {
		t.Error(err)
	}
	if err := a.box.Drop(expired); err != nil {
		t.Error(err)
	}
	if err := a.box.Drop(after); !errors.Is(err, rpc.FailedPrecondition) {
		t.Errorf("drop of one that is done: %v", err)
	}
	if _, err := a.await(refused); !errors.Is(err, rpc.InvalidArgument) {
		t.Errorf("refused again: %v", err)
	}
	if _, err := a.box.Show(expired); !errors.Is(err, rpc.NotFound) {
		t.Errorf("dropped: %v", err)
	}
	if letter, err := a.box.Show(refused); err != nil || len(letter.Request) == 0 || letter.State != "dead" {
		t.Errorf("%+v, %v", letter, err)
	}
}

// A call that a handler enqueues is made if its transaction is kept.
func TestFollow(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	if _, err := a.await(a.enqueue("k", &add{N: 7, Then: "other"}, rpc.ID("x"))); err != nil {
		t.Fatal(err)
	}
	_, _ = a.await(a.enqueue("k", &add{N: 9, Then: "other", Fail: "NotFound"}, rpc.ID("y")))
	l.until("the call that follows", func() error {
		_, err := a.box.Show("x/1")
		return err
	})
	if _, err := a.await("x/1"); err != nil {
		t.Error(err)
	}
	if _, err := a.box.Show("y/1"); !errors.Is(err, rpc.NotFound) {
		t.Errorf("a call of a transaction that was undone: %v", err)
	}
}

// A directory in use can be looked at, and not opened a second time.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	id := a.enqueue("k", &add{N: 1})
	if _, err := a.await(id); err != nil {
		t.Fatal(err)
	}
	a.n.Close()
	waits := a.enqueue("k", &add{N: 2})
	if _, err := Open(a.dir, l.cfg); !errors.Is(err, ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
	looks, err := Open(a.dir, Config{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer looks.Close()
	if s := looks.Status(); s.Pending < 1 || s.Pending+s.Done != 2 || s.LogBytes == 0 || s.Oldest.IsZero() {
		t.Errorf("%+v", s)
	}
	if letter, err := looks.Show(waits); err != nil || letter.State != "pending" || len(letter.Request) == 0 {
		t.Errorf("%+v, %v", letter, err)
	}
	if _, err := addMethod.Enqueue(l.within(), looks, &add{}, rpc.Key("k")); !errors.Is(err, rpc.FailedPrecondition) {
		t.Errorf("enqueued: %v", err)
	}
	if err := looks.Start(a.n); !errors.Is(err, ErrConfig) {
		t.Errorf("started: %v", err)
	}
}

// A call that expired long ago may have been executed and forgotten: it is not tried
// again.
func TestLateRetry(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cfg.Retention = 200 * time.Millisecond
	a := l.start("a")
	id := a.enqueue("k", &add{N: 2, Fail: "Unavailable"}, rpc.Timeout(50*time.Millisecond))
	l.until("the call expires", func() error {
		letter, err := a.box.Show(id)
		if err == nil && letter.State != "dead" {
			err = errors.New(letter.State)
		}
		return err
	})
	l.until("it is long ago", func() error {
		letter, err := a.box.Show(id)
		if err == nil && time.Since(letter.Expires) < l.cfg.Retention {
			err = errors.New("not yet")
		}
		return err
	})
	if err := a.box.Retry(id); !errors.Is(err, rpc.FailedPrecondition) || !strings.Contains(err.Error(), "long ago") {
		t.Errorf("%v", err)
	}
}
