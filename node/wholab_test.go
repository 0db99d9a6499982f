package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

type (
	// whoRequest is a call whose handler notes who calls.
	whoRequest struct {
		ID   string // names the call in the test
		Slow bool   // the first handler of it waits for its end
		On   string // the handler makes a call of this ID to this key: it is its node's own
	}
	whoReply struct{ Node string }

	// sighting is what a handler was told of a call.
	sighting struct {
		Node, Peer, Key string
		Keyed           bool
		Caller          rpc.Identity
	}
)

var (
	who       = rpc.NewMethod[whoRequest, whoReply]("who.Calls", rpc.Idempotent())
	whoInline = rpc.NewMethod[whoRequest, whoReply]("who.Inline", rpc.Inline())
	whoHedged = rpc.NewMethod[whoRequest, whoReply]("who.Hedged", rpc.Idempotent(), rpc.Hedge(5*time.Millisecond))
	whoSpills = rpc.NewMethod[whoRequest, whoReply]("who.Spills", rpc.Idempotent(),
		rpc.WithPolicy(rpc.CallPolicy{Spill: 1.25, Hedge: 5 * time.Millisecond}))
	whoStream = rpc.NewStream[whoRequest, whoReply]("who.Streams")
)

// whoLab is a cluster whose nodes note who calls.
type whoLab struct {
	*lab
	pki     *pki // nil: without TLS
	wires   *wires
	a, b, c *Node

	seenMu sync.Mutex
	seen   map[string][]sighting // by ID
}

func newWhoLab(t *testing.T, secure bool) *whoLab {
	t.Helper()
	l := &whoLab{lab: newLab(t), wires: newWires(), seen: make(map[string][]sighting)}
	equip := func(*Config) {}
	if secure {
		l.pki = l.secure()
		equip = l.edit
	}
	l.edit = func(cfg *Config) {
		if equip(cfg); cfg.Name == "a" {
			cfg.Network = l.wires
		}
		cfg.Server = append(cfg.Server, func(ctx context.Context, _ *rpc.Info, req any, next rpc.ServerHandler) (any, error) {
			return next(ctx, req)
		})
	}
	nodes := l.cluster("a", "b", "c")
	l.a, l.b, l.c = nodes[0], nodes[1], nodes[2]
	l.a.prover.wait = time.Millisecond // before any stranger calls
	for _, n := range nodes {
		serve := func(ctx context.Context, req *whoRequest) (*whoReply, error) { return l.note(ctx, n, req) }
		for _, m := range []rpc.Method[whoRequest, whoReply]{who, whoInline, whoHedged, whoSpills} {
			m.Handle(n, serve)
		}
		whoStream.Handle(n, func(ctx context.Context, s *rpc.ServerStream[whoRequest, whoReply]) error {
			req, err := s.Recv()
			if err == nil {
				_, err = l.note(ctx, n, req)
			}
			return err
		})
	}
	return l
}

func (l *whoLab) note(ctx context.Context, n *Node, req *whoRequest) (*whoReply, error) {
	info, _ := rpc.InfoFrom(ctx)
	l.seenMu.Lock()
	l.seen[req.ID] = append(l.seen[req.ID], sighting{n.Name(), info.Peer, info.Key(), info.Keyed, info.Caller})
	first := len(l.seen[req.ID]) == 1
	l.seenMu.Unlock()
	if req.Slow && first {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if req.On != "" {
		return who.Call(ctx, n, &whoRequest{ID: req.On}, rpc.Key(req.On))
	}
	return &whoReply{n.Name()}, nil
}

// sightings waits until a call was seen so often.
func (l *whoLab) sightings(t testing.TB, id string, count int) (all []sighting) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d handlers of %s", count, id), func() error {
		l.seenMu.Lock()
		defer l.seenMu.Unlock()
		if all = slices.Clone(l.seen[id]); len(all) < count {
			return fmt.Errorf("%d", len(all))
		}
		return nil
	})
	return all
}

// client is somebody from outside, with the certificate of the client "cli" or, if node is
// given, of that node.
func (l *whoLab) client(t *testing.T, at *Node, node string) *Client {
	t.Helper()
	cfg := ClientConfig{Cluster: l.name}
	switch {
	case l.pki != nil && node != "":
		cfg.TLS = l.pki.of(node)
	case l.pki != nil:
		cfg.TLS = l.pki.client()
	}
	return dial(t, at, cfg)
}

// foreign is a client of MessagePack-RPC.
func (l *whoLab) foreign(t *testing.T, at *Node) *foreign {
	t.Helper()
	if l.pki == nil {
		return dialForeign(t, at)
	}
	l.pki.client()
	cert, err := tls.LoadX509KeyPair(l.pki.at("client.crt"), l.pki.at("client.key"))
	if err != nil {
		t.Fatal(err)
	}
	nc, err := tls.Dial("tcp", at.Addr().String(), &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	return newForeign(t, nc)
}

// stranger is an endpoint that says any name, with the certificate of that name.
func (l *whoLab) stranger(t *testing.T, name string, boot uint64, at *Node) *transport.Conn {
	t.Helper()
	cfg := transport.Config{Network: transport.System(), Name: name, Cluster: l.name, Boot: boot}
	if name != "" {
		cfg.KeyID = membership.KeyID(l.a.cfg.GossipKey)
	}
	switch {
	case l.pki != nil && name != "":
		cfg.TLS = l.pki.of(name)
	case l.pki != nil:
		cfg.TLS = l.pki.client()
	}
	ep, err := transport.NewEndpoint(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ep.Close)
	conn, err := ep.Dial(t.Context(), at.Addr().String(), at.Name())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// bothWays runs a test without TLS and with it.
func bothWays(t *testing.T, test func(t *testing.T, l *whoLab)) {
	t.Helper()
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "TLS"}[secure], func(t *testing.T) {
			t.Parallel()
			test(t, newWhoLab(t, secure))
		})
	}
}

// errOf drops what a call gave.
func errOf[T any](_ T, err error) error { return err }
