package node

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// Nobody but a member can say for whom a call is, in whatever way he tries.
func TestCallerCannotBeForged(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, l *whoLab) {
		secure := l.pki != nil
		const all = transport.Carried | transport.CallerMember | transport.CallerVerified
		cli, x := rpc.Identity{}, rpc.Identity{Name: "x", Verified: secure}
		if secure {
			cli = rpc.Identity{Name: "cli", Verified: true}
		}
		client, named := l.stranger(t, "", 0, l.a), l.stranger(t, "x", 7, l.a)
		meta := func(m transport.Meta) transport.Meta { m.Partition = transport.NoPartition; return m }
		user := func(keys ...string) (pairs []transport.Pair) {
			for _, k := range keys {
				pairs = append(pairs, transport.Pair{Key: []byte(k), Value: []byte("a")})
			}
			return pairs
		}
		for i, c := range []struct {
			what string
			conn *transport.Conn
			meta transport.Meta
			code rpc.Code
			want rpc.Identity // if it is executed
		}{
			{"a client for a member", client, meta(transport.Meta{Caller: all, CallerName: []byte("b")}), rpc.PermissionDenied, x},
			{"a client for a client", client, meta(transport.Meta{Caller: transport.Carried, CallerName: []byte("cli")}), rpc.PermissionDenied, x},
			{"a client for nobody", client, meta(transport.Meta{Caller: transport.Carried}), rpc.PermissionDenied, x},
			{"a client, without the bit", client, meta(transport.Meta{Caller: transport.CallerMember, CallerName: []byte("b")}), rpc.InvalidArgument, x},
			{"a client, all bits", client, meta(transport.Meta{Caller: 255, CallerName: []byte("b")}), rpc.PermissionDenied, x},
			{"a client, the name alone", client, meta(transport.Meta{CallerName: []byte("b")}), rpc.OK, cli},
			{"a client, by metadata", client, meta(transport.Meta{User: user("caller", "caller-name", "mesh-caller", "\x11", "17", "Caller")}), rpc.OK, cli},
			{"a client", client, meta(transport.Meta{}), rpc.OK, cli},
			{"a node that is no member", named, meta(transport.Meta{Caller: all, CallerName: []byte("b")}), rpc.NotOwner, x},
			{"such a node, for itself", named, meta(transport.Meta{}), rpc.OK, x},
		} {
			id := fmt.Sprint(c.what, i)
			body, err := who.Spec().AppendRequest(nil, &whoRequest{ID: id})
			if err != nil {
				t.Fatal(err)
			}
			before := l.a.Stats()["callers_refused"]
			req := transport.Request{Method: who.Name(), Body: body, Meta: c.meta, Deadline: time.Now().Add(patience)}
			reply, err := c.conn.Call(t.Context(), &req)
			if err != nil {
				t.Fatal(err)
			}
			if rpc.Code(reply.Code) != c.code || c.code != rpc.OK && reply.Meta.Fingerprint == 0 {
				t.Errorf("%s: %v %s", c.what, rpc.Code(reply.Code), reply.Meta.Message)
			}
			reply.Release()
			if c.code == rpc.OK {
				if got := l.sightings(t, id, 1); got[0].Caller != c.want {
					t.Errorf("%s is taken for %+v, want %+v", c.what, got[0].Caller, c.want)
				}
				continue
			}
			req.Method, req.Body = whoStream.Name(), nil
			if _, refusal, err := c.conn.Open(t.Context(), &req); err != nil || rpc.Code(refusal.Code) != c.code {
				t.Errorf("a stream of %s: %+v, %v", c.what, refusal, err)
			} else {
				refusal.Release()
			}
			req.Method, req.Body = whoInline.Name(), body
			if err := c.conn.Notify(&req); err != nil {
				t.Error(err)
			}
			eventually(t, "three refusals", func() error {
				if got := l.a.Stats()["callers_refused"]; got != before+3 {
					return fmt.Errorf("%d", got-before)
				}
				return nil
			})
			l.seenMu.Lock()
			if got := l.seen[id]; len(got) > 0 {
				t.Errorf("%s was executed: %+v", c.what, got)
			}
			l.seenMu.Unlock()
		}
		if got := strings.Count(l.log("a").String(), "says that it carries the call for somebody else"); got != 2 {
			t.Errorf("%d lines for two connections", got)
		}
		c := l.client(t, l.a, "")
		for _, to := range []rpc.CallOption{rpc.Any(""), rpc.Peer("b"), rpc.Key("k")} {
			_, err := who.Call(t.Context(), c, &whoRequest{}, to, rpc.OnBehalf(rpc.Identity{Name: "b", Member: true}))
			wantCode(t, err, rpc.PermissionDenied)
		}
		_, err := whoStream.Open(t.Context(), c, rpc.OnBehalf(rpc.Identity{Name: "b", Member: true}))
		wantCode(t, err, rpc.PermissionDenied)
		f := l.foreign(t, l.a)
		for _, option := range []string{"caller", "for", "metadata", "peer_name"} {
			if code, _ := f.ask("who.Calls", nil, map[string]any{option: "b"}); code != "InvalidArgument" {
				t.Errorf("the option %s: %s", option, code)
			}
		}
		code, _ := f.ask(Forward.Name(), map[string]any{ // as JSON would have it, and as the wire has
			"method": who.Name(), "body": mustMarshal(t, whoRequest{ID: "foreign"}), "peer": "b", "for": "a", "caller": 7, "Caller": map[string]any{"Member": true},
			"metadata": map[string]any{"caller": "b"},
		})
		if got := l.sightings(t, "foreign", 1); code != "OK" || got[0].Caller != cli || got[0].Peer != "a" {
			t.Errorf("a forwarded call of a foreign client: %s, %+v", code, got)
		}
		if secure { // the certificate of a node makes no member of a client
			node := l.client(t, l.a, "b")
			if err := errOf(who.Call(t.Context(), node, &whoRequest{ID: "node"})); err != nil {
				t.Fatal(err)
			}
			if got, want := l.sightings(t, "node", 1)[0].Caller, (rpc.Identity{Name: "b", Verified: true}); got != want {
				t.Errorf("a client with the certificate of a node is %+v, want %+v", got, want)
			}
		}
	})
}

func mustMarshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := msgpack.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
