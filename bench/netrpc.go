package main

import (
	"context"
	"net/rpc"
)

// NetRPCEcho is served by reflection, hence exported.
type NetRPCEcho struct{}

// Call echoes.
func (*NetRPCEcho) Call(in, out *Message) error {
	out.Body = in.Body
	return nil
}

// netRPCPeer is the standard library's net/rpc with gob, as it comes.
type netRPCPeer struct {
	client *rpc.Client
	served chan struct{}
}

func startNetRPC(ctx context.Context) (Peer, error) {
	server := rpc.NewServer()
	if err := server.RegisterName("Echo", new(NetRPCEcho)); err != nil {
		return nil, err
	}
	near, far, err := pair(ctx)
	if err != nil {
		return nil, err
	}
	p := &netRPCPeer{client: rpc.NewClient(near), served: make(chan struct{})}
	go func() {
		defer close(p.served)
		server.ServeConn(far)
	}()
	return p, nil
}

// Caller implements Peer.
func (p *netRPCPeer) Caller(body []byte) func() ([]byte, error) {
	in := &Message{Body: body}
	return func() ([]byte, error) {
		var out Message
		err := p.client.Call("Echo.Call", in, &out)
		return out.Body, err
	}
}

// Close implements Peer.
func (p *netRPCPeer) Close() {
	_ = p.client.Close()
	<-p.served
}
