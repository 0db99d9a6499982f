package main

import (
	"context"
	"fmt"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// The echoes. They never block, so they promise it, but for meshWorker, which is
// what a handler costs that may.
var (
	meshRaw    = rpc.NewMethod[[]byte, []byte]("bench.Raw", rpc.Idempotent(), rpc.Inline())
	meshWorker = rpc.NewMethod[[]byte, []byte]("bench.Worker", rpc.Idempotent())
	meshTyped  = rpc.NewMethod[Message, Message]("bench.Typed", rpc.Idempotent(), rpc.Inline())
	meshStream = rpc.NewStream[[]byte, []byte]("bench.Stream")
)

// meshPair is two nodes of one cluster; node a calls node z.
type meshPair struct{ a, z *node.Node }

// startMesh starts two nodes; security gives the TLS of each, and may be nil.
func startMesh(ctx context.Context, security func(name string) (*transport.TLS, error)) (*meshPair, error) {
	return startMeshWith(ctx, func(cfg *node.Config) error {
		if security == nil {
			return nil
		}
		var err error
		cfg.TLS, err = security(cfg.Name)
		return err
	})
}

// startMeshWith starts two nodes whose configurations edit has completed.
func startMeshWith(ctx context.Context, edit func(*node.Config) error) (*meshPair, error) {
	start := func(name string, seeds ...string) (*node.Node, error) {
		cfg := node.Config{
			Name: name, Cluster: "bench", Seeds: seeds, Expect: len(seeds) + 1, Profile: membership.Local,
			InsecureGossip: true,
		}
		if err := edit(&cfg); err != nil {
			return nil, err
		}
		n, err := node.New(cfg)
		if err != nil {
			return nil, err
		}
		handleMesh(n)
		return n, n.Start(ctx)
	}
	z, err := start("z")
	if err != nil {
		return nil, err
	}
	a, err := start("a", z.Addr().String())
	if err != nil {
		z.Close()
		return nil, err
	}
	return &meshPair{a: a, z: z}, nil
}

func handleMesh(n *node.Node) {
	echo := func(_ context.Context, req *[]byte) (*[]byte, error) { return req, nil }
	meshRaw.Handle(n, echo)
	meshWorker.Handle(n, echo)
	meshTyped.Handle(n, func(_ context.Context, req *Message) (*Message, error) { return req, nil })
	meshStream.Handle(n, func(_ context.Context, s *rpc.ServerStream[[]byte, []byte]) error {
		for msg, err := range s.All() {
			if err != nil {
				return err
			}
			if err := s.Send(msg); err != nil {
				return err
			}
		}
		return nil
	})
}

// Close implements Peer.
func (m *meshPair) Close() {
	m.a.Close()
	m.z.Close()
}

// meshRawPeer calls the other node by name, with bytes that pass through as
// they are.
type meshRawPeer struct {
	*meshPair
	method rpc.Method[[]byte, []byte]
}

func startMeshRaw(ctx context.Context) (Peer, error) {
	pair, err := startMesh(ctx, nil)
	return meshRawPeer{pair, meshRaw}, err
}

func startMeshWorker(ctx context.Context) (Peer, error) {
	pair, err := startMesh(ctx, nil)
	return meshRawPeer{pair, meshWorker}, err
}

// Caller implements Peer.
func (m meshRawPeer) Caller(body []byte) func() ([]byte, error) {
	ctx := context.Background()
	var buf []byte // for the replies of this caller
	return func() ([]byte, error) {
		reply, err := m.method.Call(ctx, m.a, &body, rpc.Peer("z"), rpc.Into(&buf))
		if err != nil {
			return nil, err
		}
		return *reply, nil
	}
}

// meshTypedPeer calls the owner of a key, which is the other node: the router
// decides where the call goes, the callee checks that it owns the key, and
// values travel as msgpack.
type meshTypedPeer struct {
	*meshPair
	key string
}

func startMeshTyped(ctx context.Context) (Peer, error) {
	pair, err := startMesh(ctx, nil)
	if err != nil {
		return nil, err
	}
	for i := range 1000 {
		key := fmt.Sprintf("key-%d", i)
		if _, owner := pair.a.Table().Lookup(key); owner == "z" {
			return meshTypedPeer{pair, key}, nil
		}
	}
	pair.Close()
	return nil, fmt.Errorf("none of 1000 keys belongs to the other node")
}

// Caller implements Peer.
func (m meshTypedPeer) Caller(body []byte) func() ([]byte, error) {
	ctx := context.Background()
	req := &Message{Body: body}
	return func() ([]byte, error) {
		reply, err := meshTyped.Call(ctx, m.a, req, rpc.Key(m.key))
		if err != nil {
			return nil, err
		}
		return reply.Body, nil
	}
}
