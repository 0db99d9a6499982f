package main

import (
	"context"
	"fmt"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

var (
	meshRaw   = rpc.NewMethod[[]byte, []byte]("bench.Raw", rpc.Idempotent())
	meshTyped = rpc.NewMethod[Message, Message]("bench.Typed", rpc.Idempotent())
)

// meshPair is two nodes of one cluster; node a calls node z.
type meshPair struct{ a, z *node.Node }

func startMesh(ctx context.Context) (*meshPair, error) {
	start := func(name string, seeds ...string) (*node.Node, error) {
		n, err := node.New(node.Config{
			Name: name, Cluster: "bench", Seeds: seeds, Expect: len(seeds) + 1, Profile: membership.Local,
		})
		if err != nil {
			return nil, err
		}
		meshRaw.Handle(n, func(_ context.Context, req *[]byte) (*[]byte, error) { return req, nil })
		meshTyped.Handle(n, func(_ context.Context, req *Message) (*Message, error) { return req, nil })
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

func (m *meshPair) Close() {
	m.a.Close()
	m.z.Close()
}

// meshRawPeer calls the other node by name, with bytes that pass through as
// they are.
type meshRawPeer struct{ *meshPair }

func startMeshRaw(ctx context.Context) (Peer, error) {
	pair, err := startMesh(ctx)
	return meshRawPeer{pair}, err
}

// Caller implements Peer.
func (m meshRawPeer) Caller(body []byte) func() ([]byte, error) {
	ctx := context.Background()
	return func() ([]byte, error) {
		reply, err := meshRaw.Call(ctx, m.a, &body, rpc.Peer("z"))
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
	pair, err := startMesh(ctx)
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
