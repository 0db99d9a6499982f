package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestDuplicate(t *testing.T) {
	l := fresh(t, 2, Config{})
	first, dup := do(t, l, call(0, "a"), add("x", 5))
	same(t, "reply", first, "x=5")
	same(t, "dup", dup, false)
	for _, round := range []string{"at once", "after a restart"} {
		again, dup := do(t, l, call(0, "a"), func(*Tx) ([]byte, error) {
			t.Errorf("%s: ran again", round)
			return nil, nil
		})
		same(t, round, again, "x=5")
		same(t, round+": dup", dup, true)
		l = reopen(t, l)
	}
	same(t, "state", state(t, l, 0), "x=5")

	other := call(0, "a")
	other.Hash[3]++
	_, _, err := l.Do(t.Context(), other, add("x", 1))
	wantErr(t, err, ErrOtherArguments)

	_, dup = do(t, l, call(1, "a"), add("x", 1)) // an id is of its partition
	same(t, "dup in another partition", dup, false)
}

func TestRefusals(t *testing.T) {
	l := fresh(t, 1, Config{})
	run := func(*Tx) ([]byte, error) {
		t.Error("was run")
		return nil, nil
	}
	for name, c := range map[string]struct {
		change func(*Call)
		want   error
	}{
		"no id":         {func(c *Call) { c.ID = "" }, ErrBadCall},
		"long id":       {func(c *Call) { c.ID = strings.Repeat("i", MaxID+1) }, ErrBadCall},
		"no expiry":     {func(c *Call) { c.Expires = time.Time{} }, ErrBadCall},
		"expired":       {func(c *Call) { c.Expires = time.Now().Add(-time.Millisecond) }, ErrExpired},
		"not held":      {func(c *Call) { c.Partition = 9 }, ErrNotHeld},
		"not held, old": {func(c *Call) { c.Partition, c.Expires = 9, time.UnixMilli(1) }, ErrNotHeld},
	} {
		t.Run(name, func(t *testing.T) {
			bad := call(0, "id")
			c.change(&bad)
			_, _, err := l.Do(t.Context(), bad, run)
			wantErr(t, err, c.want)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := l.Do(ctx, call(0, "id"), run)
	wantErr(t, err, context.Canceled)
	check(t, l.Close())
	_, _, err = l.Do(t.Context(), call(0, "id"), run)
	wantErr(t, err, ErrClosed)
	wantErr(t, l.Close(), ErrClosed)
	wantErr(t, l.View(0, func(*Tx) error { return nil }), ErrClosed)
}

// batch makes calls that are all executed in one transaction: a first call holds the committer until they wait.
func batch(t *testing.T, l *Ledger, runs map[string]func(*Tx) ([]byte, error)) map[string]error {
	t.Helper()
	gate, entered := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	errs := map[string]error{}
	start := func(id string, run func(*Tx) ([]byte, error)) {
		wg.Go(func() {
			_, _, err := l.Do(context.Background(), call(0, id), run)
			mu.Lock()
			defer mu.Unlock()
			errs[id] = err
		})
	}
	start("gate", func(tx *Tx) ([]byte, error) {
		close(entered)
		<-gate
		return nil, nil
	})
	<-entered
	for id, run := range runs {
		start(id, run)
	}
	for waiting := 0; waiting < len(runs); runtime.Gosched() {
		l.mu.Lock()
		waiting = len(l.queue)
		l.mu.Unlock()
	}
	before := l.Stats().Commits
	close(gate)
	wg.Wait()
	same(t, "commits", l.Stats().Commits-before, 2)
	return errs
}

// TestFailingRuns has failing runs between good ones in one transaction.
func TestFailingRuns(t *testing.T) {
	l := fresh(t, 1, Config{})
	do(t, l, call(0, "before"), add("old", 7))
	broke := errors.New("broke")
	spoil := func(tx *Tx) error {
		b := tx.Bucket(accounts)
		for _, k := range []string{"old", "x", "y", "bad"} {
			if err := b.Put([]byte(k), []byte("spoilt")); err != nil {
				return err
			}
		}
		return errors.Join(b.Delete([]byte("old")), b.Put([]byte("old"), []byte("2")), b.Delete([]byte("x")), tx.Later(1, []byte("spoilt")))
	}
	runs := map[string]func(*Tx) ([]byte, error){
		"fails": func(tx *Tx) ([]byte, error) {
			return []byte("reply"), errors.Join(spoil(tx), broke)
		},
		"panics": func(tx *Tx) ([]byte, error) {
			if err := spoil(tx); err != nil {
				return nil, err
			}
			panic("on purpose")
		},
		"long": func(tx *Tx) ([]byte, error) { return make([]byte, MaxValue+1), spoil(tx) },
		"idle": func(tx *Tx) ([]byte, error) { return nil, broke },
	}
	for i := range 20 {
		runs[fmt.Sprint("good", i)] = add([]string{"x", "y"}[i%2], 1)
	}
	errs := batch(t, l, runs)
	wantErr(t, errs["fails"], broke)
	wantErr(t, errs["idle"], broke)
	wantErr(t, errs["long"], ErrTooLarge)
	var p *PanicError
	if !errors.As(errs["panics"], &p) || p.Value != "on purpose" || !bytes.Contains(p.Stack, []byte("do_test.go")) {
		t.Fatalf("panic gave %v", errs["panics"])
	}
	for i := range 20 {
		check(t, errs[fmt.Sprint("good", i)])
	}
	for range 2 {
		same(t, "state", state(t, l, 0), "old=7 x=10 y=10")
		f, err := l.NextFollow(0, 9)
		check(t, err)
		same(t, "follow-ups", len(f), 0)
		_, dup := do(t, l, call(0, "good1"), add("z", 1))
		same(t, "good call is known", dup, true)
		l = reopen(t, l)
	}
	for _, id := range []string{"fails", "panics", "long"} {
		_, dup := do(t, l, call(0, id), add("again", 1))
		same(t, id+" is known", dup, false)
	}
	same(t, "state", state(t, l, 0), "again=3 old=7 x=10 y=10")
}

// TestDuplicateInBatch has one id many times in one transaction: one of them runs.
func TestDuplicateInBatch(t *testing.T) {
	l := fresh(t, 1, Config{})
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			reply, _, err := l.Do(context.Background(), call(0, "same"), add("x", 1))
			if err != nil || string(reply) != "x=1" {
				t.Errorf("reply %q, %v", reply, err)
			}
		})
	}
	wg.Wait()
	same(t, "state", state(t, l, 0), "x=1")
	same(t, "duplicates", l.Stats().Duplicates, 99)
}

// TestGroupCommit counts how many commits many callers need.
func TestGroupCommit(t *testing.T) {
	const callers, rounds = 256, 10
	l := fresh(t, 64, Config{})
	before := l.Stats().Commits
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for r := range rounds {
				if _, _, err := l.Do(context.Background(), call(uint32(i%64), fmt.Sprint(i, "-", r)), add(fmt.Sprint(i), 1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	commits := l.Stats().Commits - before
	t.Logf("%d calls in %d commits", callers*rounds, commits)
	if commits > callers*rounds/8 {
		t.Errorf("%d calls took %d commits", callers*rounds, commits)
	}
	for i := range callers {
		check(t, l.View(uint32(i%64), func(tx *Tx) error {
			same(t, "counter", number(tx.Bucket(accounts).Get(fmt.Append(nil, i))), rounds)
			return nil
		}))
	}
	if n := l.Stats().Calls; n != callers*rounds {
		t.Errorf("%d calls counted", n)
	}
}

// TestMaxBatch has more calls wait than fit into a batch.
func TestMaxBatch(t *testing.T) {
	l := fresh(t, 1, Config{MaxBatch: 3})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if _, _, err := l.Do(context.Background(), call(0, fmt.Sprint(i)), add("x", 1)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	same(t, "state", state(t, l, 0), "x=50")
	if n := l.Stats().Commits; n < 50/3 {
		t.Errorf("%d commits", n)
	}
}

// TestGiveUp has a call give up while it waits for its turn, and one that began see its end.
func TestGiveUp(t *testing.T) {
	l := fresh(t, 1, Config{})
	gate, entered := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	wg.Go(func() {
		_, _, err := l.Do(ctx, call(0, "begun"), func(tx *Tx) ([]byte, error) {
			close(entered)
			<-gate
			return add("x", 1)(tx)
		})
		if err != nil {
			t.Errorf("a call that had begun: %v", err)
		}
	})
	<-entered
	wg.Go(func() {
		_, _, err := l.Do(ctx, call(0, "waits"), add("x", 100))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a call that waits: %v", err)
		}
	})
	for waiting := 0; waiting == 0; runtime.Gosched() {
		l.mu.Lock()
		waiting = len(l.queue)
		l.mu.Unlock()
	}
	cancel()
	// The committer must come to the call only after it has given up.
	for gone := false; !gone; runtime.Gosched() {
		l.mu.Lock()
		gone = l.queue[0].begun.Load()
		l.mu.Unlock()
	}
	close(gate)
	wg.Wait()
	same(t, "state", state(t, l, 0), "x=1")
}

// TestGoexit has runs end their goroutine, as t.FailNow in a handler would: alone, and between others of one
// transaction. Nothing of them is kept, and nothing of the others is lost.
func TestGoexit(t *testing.T) {
	l := fresh(t, 1, Config{})
	exit := func(tx *Tx) ([]byte, error) {
		_, _ = add("x", 1)(tx)
		_ = tx.Later(1, []byte("never"))
		runtime.Goexit()
		return nil, nil
	}
	_, _, err := l.Do(t.Context(), call(0, "exits"), exit)
	wantErr(t, err, ErrExited)
	gate, in := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() { // so that the others are one batch
		_, _, err := l.Do(t.Context(), call(0, "first"), func(tx *Tx) ([]byte, error) {
			close(in)
			<-gate
			return add("x", 1)(tx)
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-in
	var kept atomic.Int64
	for i := range 20 {
		all.Go(func() {
			run, want := add("x", 1), error(nil)
			if i%2 == 0 {
				run, want = exit, ErrExited
			}
			if _, _, err := l.Do(t.Context(), call(0, fmt.Sprint(i)), run); !errors.Is(err, want) {
				t.Errorf("%d: %v", i, err)
			} else if err == nil {
				kept.Add(1)
			}
		})
	}
	close(gate)
	all.Wait()
	same(t, "kept", kept.Load(), 10)
	same(t, "state", state(t, l, 0), "x=11")
	l = reopen(t, l)
	same(t, "state", state(t, l, 0), "x=11")
	items, err := l.NextFollow(0, 10)
	check(t, err)
	same(t, "follow-ups", len(items), 0)
}
