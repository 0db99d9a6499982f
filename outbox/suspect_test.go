package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/meshnode/meshnode/internal/ledger"
	"github.com/meshnode/meshnode/rpc"
)

// diedWith leaves behind what a process would that died while it executed calls.
func (m *machine) diedWith(calls ...Letter) {
	m.l.Helper()
	f, _, err := openInflight(filepath.Join(m.dir, inflightFile), zerolog.Nop())
	if err != nil {
		m.l.Fatal(err)
	}
	for _, c := range calls {
		f.begin(ledger.Call{ID: c.ID, Partition: m.partition(c.Key), Expires: c.Expires})
	}
	if err := f.close(); err != nil {
		m.l.Fatal(err)
	}
}

// partition is that of a key, also while the machine is down.
func (m *machine) partition(key string) uint32 {
	if m.n != nil {
		m.table = m.n.Table()
	}
	return m.table.Partition(key)
}

// A call that was under way at more crashes than it may is a dead letter that says so,
// and those behind it are made; a person may have it tried again. One with fewer is made.
func TestPoisonCall(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	l.settled(a) // calls are executed where their partition is held
	a.partition("k")
	fails := a.enqueue("k", &add{N: 1, Fail: "Unavailable"})
	after := a.enqueue("k", &add{N: 2})
	bad, other := a.show(fails), a.show(after)
	for n := range DefaultMaxCrashes + 1 {
		a.crash()
		a.diedWith(bad, other)
		if n < DefaultMaxCrashes { // it is not executed in between, which would clear it
			box, err := Open(a.dir, Config{})
			if err != nil {
				t.Fatal(err)
			}
			if err := box.Close(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		a = l.start("a")
	}
	_, err := a.await(fails)
	if !errors.Is(err, rpc.Internal) || !strings.Contains(err.Error(), "executed 4 times when the process of its node died") {
		t.Errorf("%v", err)
	}
	if _, err := a.await(after); !errors.Is(err, rpc.Internal) {
		t.Errorf("the one behind it was accused as often: %v", err)
	}
	if s := a.box.Status(); s.Counts.Poisonous != 2 {
		t.Errorf("%+v", s.Counts)
	}
	if err := a.box.Retry(after); err != nil {
		t.Fatal(err)
	}
	if s, err := a.await(after); err != nil || *s != (sum{2, 1}) {
		t.Errorf("tried again: %+v, %v", s, err)
	}
}

// Calls that were merely under way beside one that kills its process clear themselves:
// by success, and by an error that a handler returns. They run one at a time.
func TestInnocentCalls(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	slow := rpc.NewMethod[add, sum]("lab.One")
	alone := make(chan struct{}, 1)
	var begun sync.Map
	l.serve = func(m *machine) {
		slow.Handle(m.box.Guard(m.n), func(ctx context.Context, req *add) (*sum, error) {
			if _, again := begun.LoadOrStore(req.N, true); again { // and clear of suspicion
				return nil, rpc.Errorf(rpc.Unavailable, "as asked")
			}
			select {
			case alone <- struct{}{}:
			default:
				t.Error("two of them run")
				return &sum{}, nil
			}
			defer func() { <-alone }()
			runtime.Gosched()
			switch req.N {
			case 0:
				return nil, rpc.Errorf(rpc.Unavailable, "as asked")
			case 1:
				panic("on purpose")
			case 2:
				runtime.Goexit()
			}
			return &sum{}, nil
		})
	}
	a := l.start("a")
	l.settled(a) // calls are executed where their partition is held
	a.partition("k")
	a.n.Close() // calls are taken, and cannot be made
	var ids []string
	var letters []Letter
	for i := range uint64(5) {
		id, err := slow.Enqueue(l.within(), a.box, &add{N: i}, rpc.Key(fmt.Sprint("k", i)))
		if err != nil {
			t.Fatal(err)
		}
		ids, letters = append(ids, id), append(letters, a.show(id))
	}
	a.crash()
	a.diedWith(letters...)
	a = l.start("a")
	for _, id := range ids[3:] {
		if _, err := a.await(id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	for i, id := range ids[:3] {
		c := ledger.Call{ID: id, Partition: a.partition(letters[i].Key), Expires: letters[i].Expires}
		l.until("its crash is forgotten", func() error {
			if n, err := a.box.ledger.Crashes(c); err != nil || n != 0 {
				return fmt.Errorf("%d, %w", n, err)
			}
			return nil
		})
		if letter := a.show(id); letter.State != "pending" {
			t.Errorf("%+v", letter)
		}
	}
}

// What is in the file is read back as long as it is whole.
func TestInflightFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "inflight")
	f, old, err := openInflight(path, zerolog.Nop())
	if err != nil || old != nil {
		t.Fatal(old, err)
	}
	at := time.UnixMilli(1_700_000_000_123)
	first := f.begin(ledger.Call{ID: "first", Partition: 1, Expires: at})
	second := f.begin(ledger.Call{ID: strings.Repeat("x", rpc.MaxID), Partition: 70_000, Hash: hash{1, 2}, Expires: at})
	f.end(first)
	f.begin(ledger.Call{ID: "3", Partition: 3, Expires: at}) // in the place of the first
	third := f.begin(ledger.Call{ID: "4", Partition: 4, Expires: at})
	f.end(third)
	if first != 0 || second != 1 || third != 2 {
		t.Errorf("%d, %d, %d", first, second, third)
	}
	_, got, err := openInflight(path, zerolog.Nop())
	if err != nil || len(got) != 2 || got[0].ID != "3" || got[1].Partition != 70_000 || got[1].Hash != (hash{1, 2}) || !got[1].Expires.Equal(at) || len(got[1].ID) != rpc.MaxID {
		t.Errorf("%+v, %v", got, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range slotHead {
		damaged := bytes.Clone(text)
		damaged[i] ^= 0x40
		if got := inflightIn(damaged); len(got) != 1 {
			t.Errorf("byte %d: %+v", i, got)
		}
	}
	if got := inflightIn(text[:slotBytes+10]); len(got) != 1 {
		t.Errorf("cut off: %+v", got)
	}
}

// deadlyEnv has TestDeadly do something, in the directory that it names.
const deadlyEnv = "OUTBOX_TEST_DEADLY"

var (
	deadly        = rpc.NewMethod[string, sum]("lab.Deadly")
	deadlyGuarded = rpc.NewMethod[string, sum]("lab.DeadlyGuarded")
)

// die ends the process in a way that no guard can catch.
func die(how string) error {
	switch how {
	case "exit":
		os.Exit(7)
	case "overflow":
		debug.SetMaxStack(1 << 20)
		return deeper(nil)
	}
	return nil
}

// deeper overflows the stack.
//
//lint:ignore SA5007 that is what it is for
func deeper(path []byte) error { return deeper(append(path, 0)) }

// TestDeadly is run in a process of its own, because its handlers end it. It has calls
// made that do, and prints how they ended.
func TestDeadly(t *testing.T) {
	dir := os.Getenv(deadlyEnv)
	if dir == "" {
		return
	}
	l := newLab(t)
	l.cluster = "deadly"
	l.cfg.MaxCrashes = 1
	l.nodes["a"] = &machine{l: l, name: "a", dir: dir}
	l.serve = func(m *machine) {
		Handle(m.box, m.n, deadly, func(_ context.Context, _ *Tx, req *string) (*sum, error) { return nil, die(*req) })
		deadlyGuarded.Handle(m.box.Guard(m.n), func(_ context.Context, req *string) (*sum, error) { return nil, die(*req) })
	}
	a := l.start("a")
	for how, m := range map[string]rpc.Method[string, sum]{"overflow": deadly, "exit": deadlyGuarded} {
		id, err := m.Enqueue(l.within(), a.box, &how, rpc.Key("k"), rpc.ID(how))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Await(l.within(), a.box, id); rpc.CodeOf(err) != rpc.Internal || !strings.Contains(err.Error(), "executed 2 times when the process") {
			t.Errorf("%s: %v", how, err)
		}
	}
}

// Calls that kill the process of their node, in a transaction and without, do so as
// often as they may and no more: started again and again, it lives in the end, and
// they are dead letters.
func TestCrashLoopEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for run := 1; ; run++ {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDeadly$", "-test.timeout=1m")
		cmd.Env = append(os.Environ(), deadlyEnv+"="+dir)
		out, err := cmd.CombinedOutput()
		if err == nil && run == 5 {
			return
		}
		if deaths := bytes.Contains(out, []byte("stack overflow")) || cmd.ProcessState.ExitCode() == 7; !deaths || run == 5 {
			t.Fatalf("run %d: %v\n%.2000s", run, err, out)
		}
	}
}
