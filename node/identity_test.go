package node

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// On whatever way a call arrives, its handler is told who makes it, and the key.
func TestCaller(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, l *whoLab) {
		secure := l.pki != nil
		a, cli := rpc.Identity{Name: "a", Member: true, Verified: secure}, rpc.Identity{}
		if secure {
			cli = rpc.Identity{Name: "cli", Verified: true}
		}
		guest := rpc.Identity{Name: "guest", Verified: true} // which nobody believes without TLS
		believed := rpc.Identity{Name: "guest", Verified: secure}
		keys := map[string]string{"a": keysOwned(l.a, 1, "a")[0], "b": keysOwned(l.a, 1, "b", "c")[0], "c": keysOwned(l.a, 1, "c", "b")[0]}
		remote, here := keys["b"], keys["a"]
		c := l.client(t, l.a, "")
		f := l.foreign(t, l.a)
		type m = map[string]any
		ask := func(id string, options m) error {
			if code, _ := f.ask("who.Calls", m{"ID": id}, options); code != "OK" {
				return errors.New(code)
			}
			return nil
		}
		stream := func(from rpc.StreamCaller, id string, opts ...rpc.CallOption) error {
			s, err := whoStream.Open(t.Context(), from, opts...)
			if err != nil {
				return err
			}
			defer s.Close()
			if err = s.Send(&whoRequest{ID: id}); err == nil {
				_, err = s.Recv()
			}
			if err == io.EOF {
				return nil
			}
			return err
		}
		call := func(from rpc.Caller, m rpc.Method[whoRequest, whoReply], opts ...rpc.CallOption) func(id string) error {
			return func(id string) error { return errOf(m.Call(t.Context(), from, &whoRequest{ID: id}, opts...)) }
		}
		slow := func(from rpc.Caller, m rpc.Method[whoRequest, whoReply], opts ...rpc.CallOption) func(id string) error {
			return func(id string) error {
				return errOf(m.Call(t.Context(), from, &whoRequest{ID: id, Slow: true}, append(opts, rpc.Timeout(patience))...))
			}
		}
		forward := func(from rpc.Caller, at string, req ForwardRequest) func(id string) error {
			return func(id string) (err error) {
				if req.Body, err = msgpack.Marshal(whoRequest{ID: id}); err != nil {
					return err
				}
				inner := req
				for _, through := range []string{"c", at} { // a forwarded call may forward in its turn
					body, err := msgpack.Marshal(map[string]any{
						"method": inner.Method, "body": inner.Body, "peer": inner.Peer, "keyed": inner.Keyed, "key": inner.Key, "all": inner.All,
					})
					if err != nil {
						return err
					}
					inner = ForwardRequest{Method: Forward.Name(), Body: body, Peer: through}
				}
				reply, err := Forward.Call(t.Context(), from, &inner)
				if err == nil && (len(reply.Answers) != 1 || reply.Answers[0].Code != rpc.OK) {
					err = fmt.Errorf("%+v", reply)
				}
				return err
			}
		}
		for _, p := range []struct {
			what   string
			make   func(id string) error
			times  int // handlers that run
			caller rpc.Identity
			peer   string
			key    string
		}{
			{"peer", call(l.a, who, rpc.Peer("b")), 1, a, "a", ""},
			{"key", call(l.a, who, rpc.Key(remote)), 1, a, "a", remote},
			{"long key", call(l.a, who, rpc.Key(long(l.a, "b"))), 1, a, "a", long(l.a, "b")},
			{"any", call(l.a, who), 1, a, "a", ""},
			{"inline", call(l.a, whoInline, rpc.Key(remote)), 1, a, "a", remote},
			{"local", call(l.a, who, rpc.Key(here)), 1, a, "a", here},
			{"local by name", call(l.a, who, rpc.Peer("a")), 1, a, "a", ""},
			{"local inline", call(l.a, whoInline, rpc.Key(here)), 1, a, "a", here},
			{"gather", func(id string) error { return errOf(who.Gather(t.Context(), l.a, &whoRequest{ID: id})) }, 3, a, "a", ""},
			{"one-way", func(id string) error { return who.Send(t.Context(), l.a, &whoRequest{ID: id}, rpc.Key(remote)) }, 1, a, "a", remote},
			{"local one-way", func(id string) error { return who.Send(t.Context(), l.a, &whoRequest{ID: id}, rpc.Key(here)) }, 1, a, "a", here},
			{"stream", func(id string) error { return stream(l.a, id, rpc.Key(remote)) }, 1, a, "a", remote},
			{"local stream", func(id string) error { return stream(l.a, id, rpc.Key(here)) }, 1, a, "a", here},
			{"hedge", slow(l.a, whoHedged), 2, a, "a", ""},
			{"spill", slow(l.a, whoSpills, rpc.Key(remote)), 2, a, "a", remote},
			{"on behalf", call(l.a, who, rpc.Key(remote), rpc.OnBehalf(cli)), 1, cli, "a", remote},
			{"on behalf, local", call(l.a, who, rpc.Key(here), rpc.OnBehalf(cli)), 1, cli, "a", here},
			{"on behalf, of a gateway", call(l.a, who, rpc.Key(remote), rpc.OnBehalf(guest)), 1, believed, "a", remote},
			{"on behalf, of a gateway, local", call(l.a, who, rpc.Key(here), rpc.OnBehalf(guest)), 1, believed, "a", here},
			{"on behalf, gathered", func(id string) error {
				return errOf(who.Gather(t.Context(), l.a, &whoRequest{ID: id}, rpc.OnBehalf(cli)))
			}, 3, cli, "a", ""},
			{"on behalf, hedged", slow(l.a, whoHedged, rpc.OnBehalf(cli)), 2, cli, "a", ""},
			{"client", call(c, who), 1, cli, "", ""},
			{"client, inline", call(c, whoInline), 1, cli, "", ""},
			{"client, key", call(c, who, rpc.Key(remote)), 1, cli, "a", remote},
			{"client, key here", call(c, who, rpc.Key(here)), 1, cli, "a", here},
			{"client, inline key", call(c, whoInline, rpc.Key(remote)), 1, cli, "a", remote},
			{"client, peer", call(c, who, rpc.Peer("b")), 1, cli, "a", ""},
			{"client, gather", func(id string) error { return errOf(who.Gather(t.Context(), c, &whoRequest{ID: id})) }, 3, cli, "a", ""},
			{"client, one-way", func(id string) error { return who.Send(t.Context(), c, &whoRequest{ID: id}) }, 1, cli, "", ""},
			{"client, one-way, key", func(id string) error { return who.Send(t.Context(), c, &whoRequest{ID: id}, rpc.Key(remote)) }, 1, cli, "a", remote},
			{"client, stream", func(id string) error { return stream(c, id) }, 1, cli, "", ""},
			{"client, forwarded thrice", forward(c, "b", ForwardRequest{Method: who.Name(), Keyed: true, Key: remote}), 1, cli, "c", remote},
			{"member, forwarded", forward(l.a, "b", ForwardRequest{Method: who.Name(), Peer: "b"}), 1, a, "c", ""},
			{"MessagePack-RPC", func(id string) error { return ask(id, nil) }, 1, cli, "a", ""},
			{"MessagePack-RPC, key", func(id string) error { return ask(id, m{"key": remote}) }, 1, cli, "a", remote},
			{"MessagePack-RPC, key here", func(id string) error { return ask(id, m{"key": here}) }, 1, cli, "a", here},
			{"MessagePack-RPC, peer", func(id string) error { return ask(id, m{"peer": "c"}) }, 1, cli, "a", ""},
			{"MessagePack-RPC, notification", func(id string) error {
				f.send(2, "who.Calls", []any{m{"ID": id}, m{"key": remote}})
				return nil
			}, 1, cli, "a", remote},
			{"handler", func(id string) error { // whose call is its node's own
				return errOf(who.Call(t.Context(), c, &whoRequest{ID: id + " first", On: keys["c"]}, rpc.Peer("b")))
			}, 0, rpc.Identity{Name: "b", Member: true, Verified: secure}, "b", keys["c"]},
		} {
			id := p.what
			if p.times == 0 {
				id, p.times = p.key, 1
			}
			if err := p.make(p.what); err != nil {
				t.Errorf("%s: %v", p.what, err)
				continue
			}
			all := l.sightings(t, id, p.times)
			for _, got := range all {
				want := sighting{Node: got.Node, Peer: p.peer, Key: p.key, Keyed: p.key != "", Caller: p.caller}
				if p.what == "client, gather" && got.Node == "a" {
					want.Peer = "a"
				}
				if got != want {
					t.Errorf("%s: %+v, want %+v", p.what, got, want)
				}
			}
			if len(all) != p.times {
				t.Errorf("%s: handled %d times, want %d", p.what, len(all), p.times)
			}
		}
	})
}

// long returns a long key that a node owns.
func long(n *Node, owner string) string {
	for i := 0; ; i++ {
		key := fmt.Sprintf("%0500d", i)
		if _, name := n.Table().Lookup(key); name == owner {
			return key
		}
	}
}

// An owner that takes a call through another one, or one that serves in its place, is told of
// the first caller.
func TestCallerThroughOthers(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, l *whoLab) {
		secure := l.pki != nil
		a, cli := rpc.Identity{Name: "a", Member: true, Verified: secure}, rpc.Identity{}
		if secure {
			cli = rpc.Identity{Name: "cli", Verified: true}
		}
		c := l.client(t, l.a, "")
		l.wires.lose(l.b)
		for _, owners := range [][]string{{"b", "c"}, {"b", "a"}} {
			key := keysOwned(l.a, 1, owners...)[0]
			for id, one := range map[string]struct {
				from rpc.Caller
				want rpc.Identity
			}{"member " + key: {l.a, a}, "client " + key: {c, cli}} {
				if err := errOf(who.Call(t.Context(), one.from, &whoRequest{ID: id}, rpc.Key(key))); err != nil {
					t.Fatalf("%s: %v", id, err)
				}
				want := sighting{"b", "c", key, true, one.want}
				if got := l.sightings(t, id, 1); len(got) != 1 || got[0] != want {
					t.Errorf("relayed %s of %v: %+v, want %+v", id, owners, got, want)
				}
			}
		}
		key := keysOwned(l.a, 1, "b", "c")[0]
		l.b.Close()
		if err := errOf(who.Call(t.Context(), c, &whoRequest{ID: "taken over"}, rpc.Key(key))); err != nil {
			t.Fatal(err)
		}
		want := sighting{l.sightings(t, "taken over", 1)[0].Node, "a", key, true, cli}
		if got := l.sightings(t, "taken over", 1); got[0] != want {
			t.Errorf("taken over: %+v, want %+v", got, want)
		}
	})
}

// know makes a node know that peer and no other; nil: none.
func know(n *Node, name string, p *peer) {
	n.viewMu.Lock()
	defer n.viewMu.Unlock()
	old := n.view.Load()
	next := *old
	next.peers, next.changed = map[string]*peer{}, make(chan struct{})
	if p != nil {
		next.peers[name] = p
	}
	n.view.Store(&next)
	close(old.changed)
}

// Who is a member is as the view says now, on connections too that are open.
func TestMemberByTheView(t *testing.T) {
	t.Parallel()
	l := newWhoLab(t, false)
	conn := l.stranger(t, "x", 7, l.a)
	for i, c := range []struct {
		p    *peer
		want bool
	}{
		{nil, false},
		{&peer{boot: 7, proof: proven}, true},
		{&peer{boot: 7, proof: unproven}, false},
		{&peer{boot: 7, proof: doubted}, false},
		{&peer{boot: 8, proof: proven}, false}, // another life of the name
		{&peer{boot: 7, proof: proven}, true},
		{nil, false}, // it has left
	} {
		know(l.a, "x", c.p)
		id := fmt.Sprint(i)
		body, err := who.Spec().AppendRequest(nil, &whoRequest{ID: id})
		if err != nil {
			t.Fatal(err)
		}
		reply, err := conn.Call(t.Context(), &transport.Request{Method: who.Name(), Body: body, Meta: transport.Meta{Partition: transport.NoPartition}})
		if err != nil {
			t.Fatal(err)
		}
		reply.Release()
		want := rpc.Identity{Name: "x", Member: c.want}
		if got := l.sightings(t, id, 1)[0].Caller; got != want {
			t.Errorf("%d: %+v, want %+v", i, got, want)
		}
		know(l.a, "x", nil)
	}
}

// A node that calls before its news has come is not turned away: where somebody decides by the
// caller, its calls wait until it is known.
func TestCallerThatHasJustJoined(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, l *whoLab) {
		l.b.prover.wait = patience
		conn := l.stranger(t, "x", 7, l.b)
		stated := transport.Meta{Partition: transport.NoPartition, Caller: transport.Carried, CallerName: []byte("guest")}
		answered := make(chan rpc.Code, 2)
		for id, m := range map[string]transport.Meta{"itself": {Partition: transport.NoPartition}, "for another": stated} {
			req := transport.Request{Method: who.Name(), Body: mustMarshal(t, whoRequest{ID: id}), Meta: m, Deadline: time.Now().Add(patience)}
			go func() {
				reply, err := conn.Call(t.Context(), &req)
				if err != nil {
					t.Error(err)
					answered <- rpc.Unavailable
					return
				}
				answered <- rpc.Code(reply.Code)
				reply.Release()
			}()
		}
		eventually(t, "two calls that wait", func() error {
			if got := l.b.endpoint.Serving(); got < 2 {
				return fmt.Errorf("%d", got)
			}
			return nil
		})
		select {
		case code := <-answered:
			t.Errorf("a call of a node that is not known yet was answered: %v", code)
		default:
		}
		know(l.b, "x", &peer{boot: 7, proof: proven})
		for range 2 {
			if code := await(t, "an answer", answered); code != rpc.OK {
				t.Errorf("a call of a node that is known now: %v", code)
			}
		}
		know(l.b, "x", nil)
		for id, want := range map[string]rpc.Identity{
			"itself": {Name: "x", Member: true, Verified: l.pki != nil}, "for another": {Name: "guest"},
		} {
			if got := l.sightings(t, id, 1)[0].Caller; got != want {
				t.Errorf("%s: %+v, want %+v", id, got, want)
			}
		}
	})
}
