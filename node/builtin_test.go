package node

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

func TestPing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b")
	for _, r := range gatherAll(t, Ping, nodes[0], &PingRequest{}) {
		want := PingReply{
			Node: r.Peer, Cluster: l.name, Ready: true, Members: 2, Owners: 2,
			Fingerprint: nodes[0].Table().Fingerprint().String(), MembersDigest: fmt.Sprintf("%016x", nodes[0].Members().Digest),
		}
		i := slices.IndexFunc(nodes, func(n *Node) bool { return n.Name() == r.Peer })
		want.Boot = fmt.Sprintf("%016x", nodes[i].boot)
		if *r.Reply != want {
			t.Errorf("%s answers %+v, want %+v", r.Peer, *r.Reply, want)
		}
	}
}

func TestEcho(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b")
	for _, size := range []int{0, 1, 100_000} {
		data := make([]byte, size)
		for _, r := range gatherAll(t, Echo, nodes[0], &EchoRequest{Data: data}) {
			if r.Reply.Node != r.Peer || !slices.Equal(r.Reply.Data, data) {
				t.Errorf("%s gives back %d of %d bytes as %s", r.Peer, len(r.Reply.Data), size, r.Reply.Node)
			}
		}
	}
}

// gatherAll asks all nodes; none may fail.
func gatherAll[Req, Reply any](t *testing.T, m rpc.Method[Req, Reply], n *Node, req *Req) []rpc.Result[Reply] {
	t.Helper()
	results, err := m.Gather(t.Context(), n, req)
	if err != nil || len(results) == 0 {
		t.Fatalf("%d results, %v", len(results), err)
	}
	for _, r := range results {
		if r.Err != nil {
			t.Fatalf("%s: %v", r.Peer, r.Err)
		}
	}
	return results
}

func TestMembers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.edit = func(cfg *Config) { cfg.Zone = "zone of " + cfg.Name; cfg.Weight = float64(1 + len(cfg.Seeds)) }
	nodes := l.cluster("a", "b", "c")
	for _, r := range gatherAll(t, Members, nodes[0], nil) {
		share := 0.0
		for i, m := range r.Reply.Members {
			n := nodes[i]
			if m.Name != n.Name() || m.Addr != n.Addr().String() || m.State != "alive" || m.Serving != "serving" ||
				m.Zone != "zone of "+n.Name() || m.Weight != float64(1+i) || m.Boot != n.boot || m.AgeSeconds < 0 || m.AgeSeconds > 60 {
				t.Errorf("%s lists %+v", r.Peer, m)
			}
			share += m.Share
		}
		if len(r.Reply.Members) != 3 || math.Abs(share-1) > 1e-9 {
			t.Errorf("%s lists %d members with a share of %v", r.Peer, len(r.Reply.Members), share)
		}
	}
	nodes[2].Close()
	eventually(t, "the dead one is listed as dead", func() error {
		got, err := Members.Call(t.Context(), nodes[0], nil, rpc.Peer("a"))
		if err != nil {
			return err
		}
		if m := got.Members[2]; m.State != "dead" || m.Share != 0 {
			return fmt.Errorf("%+v", m)
		}
		return nil
	})
}

func TestOwner(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b", "c", "d")
	table := nodes[0].Table()
	keys := []string{"x", "", "y"}
	for n, want := range map[int]int{0: 3, -1: 3, 1: 1, 4: 4, 100: 4} {
		for _, r := range gatherAll(t, Owner, nodes[0], &OwnerRequest{Keys: keys, N: n}) {
			for i, key := range keys {
				got, p := r.Reply.Owners[i], table.Partition(key)
				if got.Key != key || got.Partition != p || !slices.Equal(got.Owners, table.Owners(p, want, nil)) ||
					got.Fingerprint != table.Fingerprint().String() {
					t.Errorf("by %s the owners are %+v", r.Peer, got)
				}
			}
		}
	}
	_, err := Owner.Call(t.Context(), nodes[0], &OwnerRequest{Keys: make([]string, maxOwnerKeys+1)})
	wantCode(t, err, rpc.InvalidArgument)
	if got, err := Owner.Call(t.Context(), nodes[0], nil); err != nil || len(got.Owners) != 0 {
		t.Errorf("no keys: %+v, %v", got, err)
	}
}

// The counters count what happened, once.
func TestStats(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.do["panic"] = func(context.Context, *Node, *job) (*report, error) { panic("x") }
	nodes := l.cluster("a", "b")
	before := []map[string]uint64{nodes[0].Stats(), nodes[1].Stats()}
	for range 5 {
		_, errRemote := work.Call(t.Context(), nodes[0], &job{}, rpc.Peer("b"))
		_, errLocal := work.Call(t.Context(), nodes[0], &job{}, rpc.Peer("a"))
		if errRemote != nil || errLocal != nil {
			t.Fatal(errRemote, errLocal)
		}
	}
	_, _ = work.Call(t.Context(), nodes[0], &job{Do: "panic"}, rpc.Peer("b"))
	want := []map[string]uint64{
		{"local_calls": 5, "calls_sent": 6, "calls_received": 0, "panics": 0, "retries": 0, "redirects": 0},
		{"local_calls": 0, "calls_sent": 0, "calls_received": 6, "panics": 1, "not_owner_sent": 0},
	}
	for i, n := range nodes {
		after := n.Stats()
		for name, want := range want[i] {
			if got := after[name] - before[i][name]; got != want {
				t.Errorf("%s counts %d %s, want %d", n.Name(), got, name, want)
			}
		}
	}
	reply, err := Statistics.Call(t.Context(), nodes[0], nil, rpc.Peer("b"))
	if err != nil || reply.Counters["panics"] != 1 || len(reply.Counters) != len(nodes[1].Stats()) {
		t.Errorf("mesh.Stats gives %+v, %v", reply, err)
	}
	names := make(map[string]bool)
	for c := range counterCount {
		names[c.String()] = true
	}
	if len(names) != int(counterCount) {
		t.Errorf("%d counters have %d names", counterCount, len(names))
	}
}

// forwarded asks a to carry a call.
func forwarded(t *testing.T, a *Node, req *ForwardRequest) ([]ForwardAnswer, error) {
	t.Helper()
	body, err := work.Spec().AppendRequest(nil, &job{Key: "forwarded"})
	if err != nil {
		t.Fatal(err)
	}
	if req.Body == nil {
		req.Body = body
	}
	reply, err := Forward.Call(t.Context(), a, req, rpc.Peer(a.Name()))
	if err != nil {
		return nil, err
	}
	return reply.Answers, nil
}

func TestForward(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b", "c")
	a := nodes[0]
	_, owner := a.Table().Lookup("k")
	owners := a.Table().Owners(a.Table().Partition("k"), 2, nil)
	cases := map[string]struct {
		req   ForwardRequest
		nodes []string
		code  rpc.Code
	}{
		"key":     {ForwardRequest{Method: work.Name(), Keyed: true, Key: "k"}, []string{owner}, rpc.OK},
		"owners":  {ForwardRequest{Method: work.Name(), Keyed: true, Key: "k", Owners: 2}, owners, rpc.OK},
		"peer":    {ForwardRequest{Method: work.Name(), Peer: "b"}, []string{"b"}, rpc.OK},
		"all":     {ForwardRequest{Method: work.Name(), All: true}, []string{"a", "b", "c"}, rpc.OK},
		"nobody":  {ForwardRequest{Method: work.Name(), Peer: "z"}, []string{""}, rpc.NotFound},
		"unknown": {ForwardRequest{Method: "lab.Nobody", All: true}, []string{"a", "b", "c"}, rpc.Unimplemented},
		"garbage": {ForwardRequest{Method: work.Name(), Peer: "b", Body: []byte{0xc1}}, []string{"b"}, rpc.InvalidArgument},
		"one way": {ForwardRequest{Method: work.Name(), Peer: "b", OneWay: true}, []string{""}, rpc.OK},
	}
	for what, c := range cases {
		answers, err := forwarded(t, a, &c.req)
		if err != nil || len(answers) != len(c.nodes) {
			t.Errorf("%s: %+v, %v", what, answers, err)
			continue
		}
		for i, got := range answers {
			if got.Node != c.nodes[i] || got.Code != c.code || got.ElapsedUS < 0 || (got.Code != rpc.OK) != (got.Message != "") {
				t.Errorf("%s: answer %d is %+v, want %v by %q", what, i, got, c.code, c.nodes[i])
			}
			if got.Code != rpc.OK || c.req.OneWay {
				continue
			}
			reply, err := work.Spec().DecodeReply(got.Body)
			if err != nil || reply.(*report).Node != c.nodes[i] {
				t.Errorf("%s: answer %d has the reply %+v, %v", what, i, reply, err)
			}
		}
	}
}

func TestForwardRefuses(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	for what, req := range map[string]ForwardRequest{
		"no method":     {},
		"bad method":    {Method: "a b"},
		"two places":    {Method: work.Name(), Keyed: true, Peer: "a"},
		"three places":  {Method: work.Name(), Keyed: true, Peer: "a", All: true},
		"key and all":   {Method: work.Name(), Keyed: true, All: true},
		"peer with all": {Method: work.Name(), Peer: "a", All: true},
	} {
		answers, err := forwarded(t, a, &req)
		if err != nil || len(answers) != 1 || answers[0].Code != rpc.InvalidArgument || !rpc.NotExecuted(answers[0].Err()) {
			t.Errorf("%s: %+v, %v", what, answers, err)
		}
	}
}

// A forwarded call has the deadline of the one who asked for it.
func TestForwardKeepsTheDeadline(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	left := make(chan time.Duration, 1)
	l.do["look"] = func(ctx context.Context, _ *Node, _ *job) (*report, error) {
		due, _ := ctx.Deadline()
		left <- time.Until(due)
		return nil, nil
	}
	nodes := l.cluster("a", "b")
	c := dial(t, nodes[0], ClientConfig{})
	if _, err := work.Call(t.Context(), c, &job{Do: "look"}, rpc.Peer("b"), rpc.Timeout(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := await(t, "the call", left); got < 59*time.Minute || got > time.Hour {
		t.Errorf("an hour arrives as %v", got)
	}
}
