package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

// holders counts, for each partition, the machines that hold it.
func (l *lab) holders() map[uint32]int {
	count := map[uint32]int{}
	for p := range uint32(64) {
		for _, m := range l.nodes {
			if m.n == nil {
				continue
			}
			if _, ok := m.box.ledger.Holds(p); ok {
				count[p]++
			}
		}
	}
	return count
}

// settled waits until each partition is held by who owns it, and by nobody else.
func (l *lab) settled(members ...*machine) {
	l.Helper()
	l.until("everybody holds what he owns", func() error {
		for _, m := range members {
			if n := m.n.Table().Len(); n != len(members) {
				return fmt.Errorf("%s sees %d members", m.name, n)
			}
			if missing := m.box.keeper.Load().missing(); len(missing) > 0 {
				return fmt.Errorf("%s misses %d partitions", m.name, len(missing))
			}
		}
		for p, n := range l.holders() {
			if n != 1 {
				return fmt.Errorf("partition %d is held by %d", p, n)
			}
		}
		return nil
	})
}

// total is the sum over all partitions, each asked of its owner.
func (l *lab) total(by *machine) (all sum) {
	l.Helper()
	seen := map[uint32]bool{}
	for i := 0; len(seen) < 64; i++ {
		key := fmt.Sprint("key", i)
		if p := by.n.Table().Partition(key); !seen[p] {
			seen[p] = true
			s := l.sumOf(by, key)
			all.Sum += s.Sum
			all.Calls += s.Calls
		}
	}
	return all
}

// load enqueues calls from a machine until stopped, and gives how many.
func (m *machine) load(stop <-chan struct{}) (ids []string) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return ids
		default:
		}
		ids = append(ids, m.enqueue(fmt.Sprint("key", i%200), &add{N: 1}, rpc.ID(fmt.Sprintf("%s-%d", m.name, i))))
	}
}

// Members come and go gracefully under load: each effect is there once.
func TestMembersChange(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	stop := make(chan struct{})
	var ids []string
	var load sync.WaitGroup
	load.Go(func() { ids = a.load(stop) })
	b := l.start("b")
	l.settled(a, b)
	c := l.start("c")
	l.settled(a, b, c)
	b.leave()
	l.settled(a, c)
	b = l.start("b")
	l.settled(a, b, c)
	close(stop)
	load.Wait()
	for _, id := range ids {
		if _, err := a.await(id); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}
	if got := l.total(a); got != (sum{uint64(len(ids)), uint64(len(ids))}) {
		t.Errorf("%+v of %d calls", got, len(ids))
	}
	t.Logf("%d calls; a fetched %d partitions, b %d, c %d", len(ids), a.box.Status().Counts.Fetched, b.box.Status().Counts.Fetched, c.box.Status().Counts.Fetched)
}

// Calls for what a dead machine holds wait until it is back, and others go on.
func TestHolderCrashes(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a, b := l.start("a"), l.start("b")
	l.settled(a, b)
	key := a.keyOf("b")
	if _, err := a.await(a.enqueue(key, &add{N: 1})); err != nil {
		t.Fatal(err)
	}
	b.crash()
	l.until("b is out of the table", func() error {
		if a.n.Table().Has("b") {
			return errors.New("it is not")
		}
		return nil
	})
	id := a.enqueue(key, &add{N: 2})
	if _, err := a.await(a.enqueue(a.keyIn(func(p uint32) bool { _, ok := a.box.ledger.Holds(p); return ok }), &add{N: 1})); err != nil {
		t.Fatal(err)
	}
	l.saysWhere(a, id, "a", "b")
	l.start("b")
	if s, err := a.await(id); err != nil || *s != (sum{3, 2}) {
		t.Errorf("%+v, %v", s, err)
	}
}

// With Orphans.ServeAfter the new owner begins without the dead one's state, and
// counts it.
func TestOrphans(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cfg.Orphans.ServeAfter = 100 * time.Millisecond
	a, b := l.start("a"), l.start("b")
	l.settled(a, b)
	key := a.keyOf("b")
	b.crash()
	if s, err := a.await(a.enqueue(key, &add{N: 2})); err != nil || *s != (sum{2, 1}) {
		t.Errorf("%+v, %v", s, err)
	}
	l.until("a counts the orphans that it serves", func() error { // behind the first call that it serves
		if c := a.box.Status().Counts; c.OrphansServed == 0 {
			return fmt.Errorf("%+v", c)
		}
		return nil
	})
	b = l.start("b") // finds that it has lost what it held
	l.settled(a, b)
	if s := l.sumOf(a, key); s != (sum{2, 1}) {
		t.Errorf("%+v", s)
	}
	if c := b.box.Status().Counts; c.Yielded == 0 {
		t.Errorf("%+v", c)
	}
}

// A node that was abandoned is not waited for, also where others still know of it.
func TestAbandon(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a, b, c := l.start("a"), l.start("b"), l.start("c")
	l.settled(a, b, c)
	b.crash()
	l.outOfTables("b", a, c)
	if n := len(a.box.keeper.Load().missing()); n == 0 {
		t.Fatal("nothing was b's")
	}
	for _, m := range []*machine{a, c} { // one after the other, while they ask each other
		if err := m.box.Abandon(l.within(), "b"); err != nil {
			t.Fatal(err)
		}
		if known, err := m.box.keeper.Load().know(l.within(), []string{"b"}); err != nil || slices.Contains(known, "b") {
			t.Errorf("%s knows %v, %v", m.name, known, err)
		}
	}
	l.settled(a, c)
}

// A partition that was on its way to an abandoned node, which may have taken it without a word
// of that, goes on: here and to whom it belongs now.
func TestAbandonOnTheWay(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a, b, c := l.start("a"), l.start("b"), l.start("c")
	l.settled(a, b, c)
	b.crash()
	l.outOfTables("b", a, c)
	key := a.keyIn(func(p uint32) bool { _, held := a.box.ledger.Holds(p); return held })
	p := a.n.Table().Partition(key)
	if _, err := a.box.ledger.Give(l.within(), p, "b"); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*machine{a, c} {
		if err := m.box.Abandon(l.within(), "b"); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := c.await(c.enqueue(key, &add{N: 2})); err != nil || *s != (sum{2, 1}) {
		t.Errorf("%+v, %v", s, err)
	}
	l.settled(a, c)
}

// outOfTables waits until no machine of these has name in its table.
func (l *lab) outOfTables(name string, all ...*machine) {
	l.Helper()
	l.until(name+" is out of the tables", func() error {
		for _, m := range all {
			if m.n.Table().Has(name) {
				return errors.New("it is not")
			}
		}
		return nil
	})
}

// keyOf returns a key that a machine owns.
func (m *machine) keyOf(owner string) string {
	return m.keyIn(func(p uint32) bool { return m.n.Table().Owner(p) == owner })
}

func (m *machine) keyIn(want func(p uint32) bool) string {
	for i := 0; ; i++ {
		if key := fmt.Sprint("key", i); want(m.n.Table().Partition(key)) {
			return key
		}
	}
}

// Handlers behind Guard see a duplicate only once, and two of them never at a time.
func TestGuard(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	plain := rpc.NewMethod[add, sum]("lab.Plain")
	var mu sync.Mutex
	runs := 0
	n, err := node.New(node.Config{Name: "a", Cluster: l.cluster, Profile: membership.Local})
	if err != nil {
		t.Fatal(err)
	}
	box, err := Open(t.TempDir(), l.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { n.Close(); _ = box.Close() }()
	plain.Handle(box.Guard(n), func(context.Context, *add) (*sum, error) {
		mu.Lock()
		defer mu.Unlock()
		runs++
		return &sum{Calls: uint64(runs)}, nil
	})
	if err := box.Start(n); err != nil {
		t.Fatal(err)
	}
	if err := box.Start(n); !errors.Is(err, ErrStarted) {
		t.Errorf("started twice: %v", err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := header{id: "x", expires: time.Now().Add(time.Hour), attempt: 1}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			l.until("the call", func() error {
				s, err := plain.Call(l.within(), n, &add{}, rpc.Key("k"), rpc.WithMetadata(headerKey, h.text()))
				if err == nil && s.Calls != 1 {
					t.Errorf("%+v", s)
				}
				return err
			})
		})
	}
	all.Wait()
	h.hash[0]++
	if _, err := plain.Call(l.within(), n, &add{}, rpc.Key("k"), rpc.WithMetadata(headerKey, h.text())); !errors.Is(err, rpc.FailedPrecondition) {
		t.Errorf("other arguments: %v", err)
	}
	if s, err := plain.Call(l.within(), n, &add{}, rpc.Key("k")); err != nil || s.Calls != 2 {
		t.Errorf("an ordinary call: %+v, %v", s, err)
	}
}

// Strangers cannot move partitions, nor members those of others, and what is no
// header of a durable call is refused and counted.
func TestStrangers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a, b := l.start("a"), l.start("b")
	l.settled(a, b)
	parts := a.n.Table().Owned("a")
	client, err := node.Dial(l.within(), a.n.Addr().String(), node.ClientConfig{Cluster: l.cluster})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	have := []moving{{parts[0], 2}}
	for what, err := range map[string]error{
		"take by a client":    call1(takeMethod.Call(l.within(), client, &takeRequest{From: "b", Partitions: parts, Have: have})),
		"take for another":    call1(takeMethod.Call(l.within(), b.n, &takeRequest{From: "a", Partitions: parts, Have: have}, rpc.Peer("a"))),
		"where by a client":   call1(whereMethod.Call(l.within(), client, &whereRequest{From: "b", Partitions: parts})),
		"refusal by a client": call1(refuseMethod.Call(l.within(), client, &moving{parts[0], 9})),
	} {
		if !errors.Is(err, rpc.PermissionDenied) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if reply, err := takeMethod.Call(l.within(), b.n, &takeRequest{From: "b", Partitions: parts[:3]}, rpc.Peer("a")); err != nil || len(reply.Refused) != 3 {
		t.Errorf("taking what another owns: %+v, %v", reply, err)
	}
	_, err = addMethod.Call(l.within(), a.n, &add{}, rpc.Key("k"), rpc.WithMetadata(headerKey, "\x01x"))
	if !errors.Is(err, rpc.InvalidArgument) {
		t.Errorf("a bad header: %v", err)
	}
	if n := a.box.Status().Counts.BadHeaders + b.box.Status().Counts.BadHeaders; n != 1 {
		t.Errorf("%d bad headers were counted", n)
	}
	l.settled(a, b)
}

func call1[T any](_ *T, err error) error { return err }

// saysWhere waits until a pending call says that its owner waits for a holder that is
// down.
func (l *lab) saysWhere(by *machine, id, owner, holder string) {
	l.Helper()
	l.until("it says where the state is", func() error {
		letter := by.show(id)
		for _, want := range []string{"node " + owner + " owns partition", holder + ", which is down, seen from here since 20"} {
			if letter.State != "pending" || !strings.Contains(letter.Reason, want) {
				return fmt.Errorf("%q is not in %+v", want, letter)
			}
		}
		return nil
	})
	s := l.nodes[owner].box.Status()
	if len(s.Silent) != 1 || s.Silent[0].Name != holder || !s.Silent[0].Down || s.Silent[0].Since.IsZero() || s.Waiting == 0 {
		l.Errorf("%+v", s)
	}
}

// A node that was never there when a partition moved learns from the others who has
// it, and says so; who has abandoned that one goes on.
func TestSaysWhoHolds(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a, b := l.start("a"), l.start("b")
	l.settled(a, b)
	lost := map[uint32]bool{}
	for _, p := range b.n.Table().Owned("b") {
		lost[p] = true
	}
	b.crash()
	c := l.start("c")
	l.outOfTables("b", a, c)
	id := a.enqueue(a.keyIn(func(p uint32) bool { return lost[p] && a.n.Table().Owner(p) == "c" }), &add{N: 2})
	l.saysWhere(a, id, "c", "b")
	for _, m := range []*machine{a, c} {
		if err := m.box.Abandon(t.Context(), "b"); err != nil {
			t.Error(err)
		}
	}
	if s, err := a.await(id); err != nil || *s != (sum{2, 1}) {
		t.Errorf("%+v, %v", s, err)
	}
	if s := c.box.Status(); s.Waiting != 0 || s.Silent != nil {
		t.Errorf("%+v", s)
	}
}
