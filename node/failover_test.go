package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// failLab has four nodes, whose handlers tell by Data whether they stand in.
// It gives them by name.
func failLab(t *testing.T) (*lab, map[string]*Node, *wires) {
	t.Helper()
	l := newLab(t)
	w := newWires()
	l.edit = func(cfg *Config) {
		if cfg.Name == "a" {
			cfg.Network = w
		}
	}
	l.do["tell"] = func(ctx context.Context, n *Node, _ *job) (*report, error) {
		info, _ := rpc.InfoFrom(ctx)
		return &report{Node: n.Name(), Keyed: info.Keyed, Data: fmt.Append(nil, info.Failover)}, nil
	}
	nodes := make(map[string]*Node)
	for _, n := range l.cluster("a", "b", "c", "d") {
		nodes[n.Name()] = n
	}
	return l, nodes, w
}

// lose makes a node unreachable, but for connections that it makes itself.
func (w *wires) lose(n *Node) {
	at := n.Addr().String()
	w.failing(func(addr string) error {
		if addr == at {
			return errors.New("no route")
		}
		return nil
	})
	w.cut()
}

// keysOwned gives keys whose first owners are these, in this order.
func keysOwned(n *Node, count int, owners ...string) (keys []string) {
	for i := 0; len(keys) < count; i++ {
		key := fmt.Sprintf("key-%d", i)
		got := n.Table().Owners(n.Table().Partition(key), len(owners), nil)
		if fmt.Sprint(got) == fmt.Sprint(owners) {
			keys = append(keys, key)
		}
	}
	return keys
}

// A crashed owner's keys are served by the next owner, before gossip knows.
func TestFailover(t *testing.T) {
	t.Parallel()
	l, nodes, _ := failLab(t)
	a := nodes["a"]
	keys := keysOwned(a, 20, "b", "c")
	for _, key := range keys { // so that there is a connection that breaks
		if _, err := safe.Call(t.Context(), a, &job{Key: "before " + key}, rpc.Key(key)); err != nil {
			t.Fatal(err)
		}
	}
	nodes["b"].Close()
	// The connection may break under the first call, which only an idempotent
	// method survives.
	if _, err := safe.Call(t.Context(), a, &job{Key: "first"}, rpc.Key(keys[0])); err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		got, err := work.Call(t.Context(), a, &job{Key: key, Do: "tell"}, rpc.Key(key))
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		if a.Table().Has("b") && (got.Node != "c" || string(got.Data) != "true") {
			t.Errorf("%s was answered by %s, as a stand-in: %s", key, got.Node, got.Data)
		}
		if ran := l.executed(key); len(ran) != 1 {
			t.Errorf("%s was executed on %v", key, ran)
		}
	}
	if got := a.Stats()["failovers"]; got == 0 {
		t.Error("no failover was counted: gossip was faster, or nothing stood in")
	}
	if got := nodes["c"].Stats()["failovers_served"]; got == 0 {
		t.Error("c counted none that it served")
	}
	agree(t, a, nodes["c"], nodes["d"])
}

// Who cannot reach an owner that lives is helped by the next one, which does not
// serve the call itself.
func TestFailoverRelays(t *testing.T) {
	t.Parallel()
	l, nodes, w := failLab(t)
	a := nodes["a"]
	w.lose(nodes["b"])
	for _, owners := range [][]string{{"b", "c"}, {"b", "a"}} { // the caller itself may be the next
		for _, key := range keysOwned(a, 10, owners...) {
			var by string
			got, err := work.Call(t.Context(), a, &job{Key: key, Do: "tell"}, rpc.Key(key), rpc.Answered(&by))
			if err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			if got.Node != "b" || by != "b" || string(got.Data) != "false" {
				t.Errorf("%s of %v was answered by %s (%s), as a stand-in: %s", key, owners, got.Node, by, got.Data)
			}
			if ran := l.executed(key); len(ran) != 1 {
				t.Errorf("%s was executed on %v", key, ran)
			}
		}
	}
	if got := a.Stats(); got["relayed_calls"] < 20 || got["failovers"] != 0 {
		t.Errorf("%d calls were relayed, %d failed over", got["relayed_calls"], got["failovers"])
	}
	w.failing(nil)
	key := keysOwned(a, 1, "b", "c")[0]
	eventually(t, "calls go straight again", func() error {
		before := a.Stats()["relayed_calls"]
		if _, err := safe.Call(t.Context(), a, &job{}, rpc.Key(key)); err != nil {
			t.Fatal(err)
		}
		if a.Stats()["relayed_calls"] != before {
			return errors.New("it was relayed")
		}
		return nil
	})
}

// A node that is the next owner itself does not take over on its own word.
func TestFailoverToTheCallerIsConfirmed(t *testing.T) {
	t.Parallel()
	l, nodes, _ := failLab(t)
	a := nodes["a"]
	keys := keysOwned(a, 10, "b", "a", "c")
	nodes["b"].Close()
	for _, key := range keys {
		got, err := work.Call(t.Context(), a, &job{Key: key, Do: "tell"}, rpc.Key(key))
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		if a.Table().Has("b") && (got.Node != "a" || string(got.Data) != "true") {
			t.Errorf("%s was answered by %s, as a stand-in: %s", key, got.Node, got.Data)
		}
		if ran := l.executed(key); len(ran) != 1 {
			t.Errorf("%s was executed on %v", key, ran)
		}
	}
	if got := nodes["c"].Stats()["relays"]; got == 0 {
		t.Error("nobody else was asked")
	}
}

// Two owners in a row may be gone.
func TestFailoverPastTwo(t *testing.T) {
	t.Parallel()
	l, nodes, _ := failLab(t)
	a := nodes["a"]
	keys := keysOwned(a, 5, "b", "c", "d")
	nodes["b"].Close()
	nodes["c"].Close()
	for _, key := range keys {
		got, err := work.Call(t.Context(), a, &job{Key: key, Do: "tell"}, rpc.Key(key))
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		if a.Table().Has("b") && a.Table().Has("c") && (got.Node != "d" || string(got.Data) != "true") {
			t.Errorf("%s was answered by %s, as a stand-in: %s", key, got.Node, got.Data)
		}
		if ran := l.executed(key); len(ran) != 1 {
			t.Errorf("%s was executed on %v", key, ran)
		}
	}
}

func TestOwnerOnly(t *testing.T) {
	t.Parallel()
	l, nodes, w := failLab(t)
	a := nodes["a"]
	w.lose(nodes["b"])
	key := keysOwned(a, 1, "b", "c")[0]
	_, err := work.Call(t.Context(), a, &job{Key: key}, rpc.Key(key), rpc.OwnerOnly(), rpc.Timeout(300*time.Millisecond))
	wantCode(t, err, rpc.DeadlineExceeded)
	if ran := l.executed(key); len(ran) != 0 {
		t.Errorf("executed on %v", ran)
	}
	if got, err := work.Call(t.Context(), a, &job{Key: key}, rpc.Key(key)); err != nil || got.Node != "b" {
		t.Errorf("without the option: %v, %v", got, err)
	}
}

// What a process says that lives is no loss, however it says no.
func TestLosses(t *testing.T) {
	t.Parallel()
	unsent := func(err error) error { return &transport.CallError{Unsent: true, Err: err} }
	for _, c := range []struct {
		err   error
		loss  loss
		alive bool
	}{
		{unsent(errors.New("connection refused")), noConnection, false},
		{unsent(errSilent), noConnection, false},
		{unsent(fmt.Errorf("%w to b: %w", transport.ErrBackoff, errors.New("connection refused"))), noConnection, false},
		{unsent(transport.ErrHandshakeTimeout), noConnection, false},
		{&transport.CallError{Err: fmt.Errorf("%w: %w", transport.ErrClosed, io.EOF)}, brokeUnderCall, false},
		{&transport.CallError{Err: fmt.Errorf("%w: %w", transport.ErrClosed, transport.ErrKeepalive)}, brokeUnderCall, false},
		{unsent(transport.ErrClosed), notLost, false}, // by this node itself
		{unsent(fmt.Errorf("%w to b: %w", transport.ErrBackoff, &transport.RefusedError{Err: transport.ErrTooManyConns})), notLost, true},
		{unsent(&transport.RefusedError{Err: transport.ErrShutdown}), notLost, true},
		{unsent(transport.ErrTooManyCalls), notLost, true},
		{context.DeadlineExceeded, notLost, false}, // nothing is known of the peer
	} {
		if got := lossOf(c.err); got != c.loss {
			t.Errorf("%v is loss %d, want %d", c.err, got, c.loss)
		}
		if got := refusedByTheLiving(c.err); got != c.alive {
			t.Errorf("%v is said by the living: %v", c.err, got)
		}
	}
}
