package node

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/router"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// persuade makes n believe that these members own the partitions, until its
// membership changes.
func persuade(t *testing.T, n *Node, names ...string) {
	t.Helper()
	members := make([]router.Member, len(names))
	for i, name := range names {
		members[i] = router.Member{Name: name}
	}
	table, err := router.New(members, n.cfg.Table)
	if err != nil {
		t.Fatal(err)
	}
	n.viewMu.Lock()
	defer n.viewMu.Unlock()
	old := n.view.Load()
	next := *old
	next.table, next.changed = table, make(chan struct{})
	n.view.Store(&next)
	close(old.changed)
}

// A node with an old table asks the wrong one, which names the right one.
func TestHintIsFollowed(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b", "c")
	a, b, c := nodes[0], nodes[1], nodes[2]
	keys := keysOf(b, "c", 50)
	persuade(t, a, "a", "b")
	followed := 0
	for _, key := range keys {
		_, believed := a.Table().Lookup(key)
		var who string
		got, err := work.Call(t.Context(), a, &job{Key: key}, rpc.Key(key), rpc.Answered(&who))
		if err != nil {
			t.Fatal(err)
		}
		want := "a" // by its own table it owns the key, and that is what counts
		if believed == "b" {
			want = "c"
			followed++
		}
		if got.Node != want || who != want || len(l.executed(key)) != 1 {
			t.Errorf("%q, believed to be of %s: %+v by %q, executed on %v", key, believed, got, who, l.executed(key))
		}
	}
	if followed == 0 {
		t.Fatal("no key was believed to be of b")
	}
	for what, got := range map[string]uint64{
		"redirects": a.Stats()["redirects"], "refusals": b.Stats()["not_owner_sent"],
	} {
		if got != uint64(followed) {
			t.Errorf("%d %s, want %d", got, what, followed)
		}
	}
	if got := c.Stats()["not_owner_sent"] + a.Stats()["retries"]; got != 0 {
		t.Errorf("%d refusals by the owner or waits", got)
	}
}

// Two nodes that each believe the other to be the owner execute nothing. The
// caller follows two hints, waits, and tries again until they agree.
func TestDisagreement(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b", "c")
	a, b, c := nodes[0], nodes[1], nodes[2]
	key := keysOf(a, "b", 1)[0]
	persuade(t, b, "c")
	persuade(t, c, "b")
	type outcome struct {
		got *report
		err error
	}
	answered := make(chan outcome, 1)
	go func() {
		got, err := work.Call(t.Context(), a, &job{Key: key}, rpc.Key(key), rpc.Timeout(patience))
		answered <- outcome{got, err}
	}()
	eventually(t, "some rounds", func() error {
		if got := a.Stats()["retries"]; got < 6 {
			return fmt.Errorf("%d waits", got)
		}
		return nil
	})
	if ran := l.executed(key); len(ran) != 0 {
		t.Errorf("executed on %v while nobody owned the key", ran)
	}
	persuade(t, b, "a", "b", "c")
	o := await(t, "the answer", answered)
	if o.err != nil || o.got.Node != "b" {
		t.Errorf("%+v, %v", o.got, o.err)
	}
	if ran := l.executed(key); len(ran) != 1 {
		t.Errorf("executed on %v, want once", ran)
	}
	// Each round is one attempt and two hops behind it; the last one may have
	// been cut short by success.
	rounds, redirects := a.Stats()["retries"], a.Stats()["redirects"]
	if redirects < 3*rounds || redirects > 3*(rounds+1) {
		t.Errorf("%d redirects in %d rounds", redirects, rounds)
	}
	if b, c := b.Stats()["not_owner_sent"], c.Stats()["not_owner_sent"]; b+c != redirects || c < rounds {
		t.Errorf("b refused %d, c %d, a was redirected %d times", b, c, redirects)
	}
}

// A disagreement that outlasts the call is the reason that it gives.
func TestDisagreementOutlastsTheCall(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b")
	key := keysOf(nodes[0], "b", 1)[0]
	persuade(t, nodes[1], "a")
	eventually(t, "the error says why", func() error {
		began := time.Now()
		_, err := safe.Call(t.Context(), nodes[0], &job{Key: key}, rpc.Key(key), rpc.Timeout(100*time.Millisecond))
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
		if e := wantCode(t, err, rpc.DeadlineExceeded); strings.Contains(e.Message, "does not own partition") {
			return nil
		}
		return err
	})
	if ran := l.executed(key); len(ran) != 0 {
		t.Errorf("executed on %v", ran)
	}
}

// A wait for the tables ends with the change that brings them together.
func TestWaitEndsWithTheView(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b")
	a := nodes[0]
	key := keysOf(a, "b", 1)[0]
	persuade(t, nodes[1], "a")
	answered := make(chan error, 1)
	go func() {
		_, err := work.Call(t.Context(), a, &job{Key: key}, rpc.Key(key), rpc.Timeout(patience))
		answered <- err
	}()
	eventually(t, "a long wait", func() error {
		if got := a.Stats()["retries"]; got < 8 { // from here on each takes 125 ms and more
			return fmt.Errorf("%d waits", got)
		}
		return nil
	})
	before := a.Stats()["retries"]
	persuade(t, a, "a")
	if err := await(t, "the answer", answered); err != nil {
		t.Error(err)
	}
	if ran := l.executed(key); len(ran) != 1 || ran[0] != "a" {
		t.Errorf("executed on %v", ran)
	}
	if waits := a.Stats()["retries"] - before; waits > 1 {
		t.Errorf("%d more waits", waits)
	}
}

// keyIn returns a key of a partition; empty if there is no such partition.
func keyIn(n *Node, partition int64) string {
	table := n.Table()
	for i := 0; partition >= 0 && partition < int64(table.Params().Partitions); i++ {
		if key := fmt.Sprint("key-", i); int64(table.Partition(key)) == partition {
			return key
		}
	}
	return ""
}

// ask makes one keyed call with a partition of the tester's choice.
func ask(t *testing.T, from *Node, to string, partition int64) (code rpc.Code, owner string, fingerprint uint64) {
	t.Helper()
	conn, err := from.view.Load().peers[to].Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	body, err := work.Spec().AppendRequest(nil, &job{Key: fmt.Sprint("partition ", partition)})
	if err != nil {
		t.Fatal(err)
	}
	reply, err := conn.Call(t.Context(), &transport.Request{
		Method: work.Name(), Body: body, Meta: transport.Meta{Partition: partition, Key: []byte(keyIn(from, partition))},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Release()
	return rpc.Code(reply.Code), string(reply.Meta.Owner), reply.Meta.Fingerprint
}

// Whatever a caller believes, a node executes what its own table gives it.
func TestOnlyOwnedKeysAreExecuted(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b", "c")
	a, b := nodes[0], nodes[1]
	partitions := int64(b.Table().Params().Partitions)
	for p := range partitions {
		code, hint, fingerprint := ask(t, a, "b", p)
		owner := b.Table().Owner(uint32(p))
		want := rpc.NotOwner
		if owner == "b" {
			want, owner = rpc.OK, ""
		}
		if code != want || hint != owner {
			t.Errorf("partition %d: %v, hint %q; want %v, %q", p, code, hint, want, owner)
		}
		if refused := fingerprint == uint64(b.Table().Fingerprint()); refused != (want == rpc.NotOwner) {
			t.Errorf("partition %d: fingerprint %x with %v", p, fingerprint, code)
		}
		if ran := l.executed(fmt.Sprint("partition ", p)); (len(ran) == 1) != (want == rpc.OK) {
			t.Errorf("partition %d was executed on %v", p, ran)
		}
	}
	for _, p := range []int64{partitions, 1<<32 - 1} {
		if code, hint, _ := ask(t, a, "b", p); code != rpc.NotOwner || hint != "" {
			t.Errorf("partition %d, which is none: %v, hint %q", p, code, hint)
		}
	}
	if code, _, _ := ask(t, a, "b", transport.NoPartition); code != rpc.OK {
		t.Errorf("a call without a key: %v", code)
	}
}

// The key that a handler is told of is the one whose partition has decided that this node
// serves it: a caller cannot have one for another.
func TestKeyOfAnotherPartition(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b")
	a, b := nodes[0], nodes[1]
	key := keysOf(a, "b", 1)[0]
	other := keysOf(a, "a", 1)[0]
	partition := int64(a.Table().Partition(key))
	conn, err := a.view.Load().peers["b"].Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("k", rpc.MaxKey+1)
	for what, m := range map[string]transport.Meta{
		"of another owner":       {Partition: partition, Key: []byte(other)},
		"none":                   {Partition: partition},
		"longer than any":        {Partition: int64(a.Table().Partition(long)), Key: []byte(long)},
		"another, as a stand-in": {Partition: partition, Key: []byte(other), StandIn: transport.ForFailover},
		"another, as a spill":    {Partition: partition, Key: []byte(other), StandIn: transport.ForSpill},
	} {
		body, err := work.Spec().AppendRequest(nil, &job{Key: what})
		if err != nil {
			t.Fatal(err)
		}
		reply, err := conn.Call(t.Context(), &transport.Request{Method: work.Name(), Body: body, Meta: m})
		if err != nil {
			t.Fatal(err)
		}
		if rpc.Code(reply.Code) != rpc.InvalidArgument || reply.Meta.Fingerprint == 0 {
			t.Errorf("a key that is %s: %v %s", what, rpc.Code(reply.Code), reply.Meta.Message)
		}
		reply.Release()
		if ran := l.executed(what); len(ran) > 0 {
			t.Errorf("a call with a key that is %s was executed on %v", what, ran)
		}
	}
	for _, from := range []rpc.Caller{a, b, dial(t, a, ClientConfig{})} {
		_, err := work.Call(t.Context(), from, &job{Key: "long"}, rpc.Key(long))
		wantCode(t, err, rpc.InvalidArgument)
	}
	if ran := l.executed("long"); len(ran) > 0 {
		t.Errorf("a call with a key that is too long was executed on %v", ran)
	}
	if got, err := work.Call(t.Context(), a, &job{}, rpc.Key(long[1:])); err != nil || !got.Keyed {
		t.Errorf("the longest key: %+v, %v", got, err)
	}
}

// A node that is not ready refuses keyed calls, without naming anybody.
func TestNotReadyRefuses(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	cfg := l.config("b")
	cfg.Expect = 3
	b := l.build(cfg)
	failed := make(chan error, 1)
	go func() { failed <- b.Start(t.Context()) }()
	eventually(t, "a sees b", func() error {
		if a.view.Load().peers["b"] == nil {
			return errors.New("it does not")
		}
		return nil
	})
	if code, hint, fingerprint := ask(t, a, "b", 0); code != rpc.NotOwner || hint != "" || fingerprint == 0 {
		t.Errorf("%v, hint %q, fingerprint %x", code, hint, fingerprint)
	}
	got, err := work.Call(t.Context(), a, &job{}, rpc.Peer("b"))
	if err != nil || got.Node != "b" {
		t.Errorf("other calls it serves: %+v, %v", got, err)
	}
	b.Close()
	if err := await(t, "the end of Start", failed); !errors.Is(err, ErrStopped) {
		t.Errorf("Start ended with %v", err)
	}
}
