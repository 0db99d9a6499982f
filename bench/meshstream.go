package main

import (
	"context"

	"github.com/meshnode/meshnode/rpc"
)

// meshStreamPeer is a bidirectional stream to the other node.
type meshStreamPeer struct {
	*meshPair
	*rpc.ClientStream[[]byte, []byte]
}

func startMeshStream(ctx context.Context) (Stream, error) {
	pair, err := startMesh(ctx, nil)
	if err != nil {
		return nil, err
	}
	s, err := meshStream.Open(context.WithoutCancel(ctx), pair.a, rpc.Peer("z"))
	if err != nil {
		pair.Close()
		return nil, err
	}
	return &meshStreamPeer{pair, s}, nil
}

// Send implements Stream.
func (s *meshStreamPeer) Send(body []byte) error { return s.ClientStream.Send(&body) }

// Recv implements Stream.
func (s *meshStreamPeer) Recv() ([]byte, error) {
	msg, err := s.ClientStream.Recv()
	if err != nil {
		return nil, err
	}
	return *msg, nil
}

// Close implements Stream.
func (s *meshStreamPeer) Close() {
	s.ClientStream.Close()
	s.meshPair.Close()
}
