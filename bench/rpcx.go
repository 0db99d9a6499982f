package main

import (
	"context"
	"errors"
	"sync"

	"github.com/smallnest/rpcx/client"
	"github.com/smallnest/rpcx/log"
	"github.com/smallnest/rpcx/protocol"
	"github.com/smallnest/rpcx/server"
)

// RPCXEcho is served by reflection, hence exported.
type RPCXEcho struct{}

// Call echoes.
func (*RPCXEcho) Call(_ context.Context, in, out *Message) error {
	out.Body = in.Body
	return nil
}

// rpcxPeer is rpcx with msgpack, called through its Client, which is one
// connection (its XClient would add discovery and retries). The HTTP and
// JSON-RPC gateways on the server's port are off, which is to its advantage.
type rpcxPeer struct {
	server *server.Server
	client *client.Client
	served chan struct{}
}

func startRPCX(ctx context.Context) (Peer, error) {
	quietRPCX()
	ln, err := listen(ctx)
	if err != nil {
		return nil, err
	}
	p := &rpcxPeer{server: server.NewServer(), served: make(chan struct{})}
	p.server.DisableHTTPGateway, p.server.DisableJSONRPC = true, true
	option := client.DefaultOption
	option.SerializeType = protocol.MsgPack
	p.client = client.NewClient(option)
	err = p.server.RegisterName("Echo", new(RPCXEcho), "")
	go func() {
		defer close(p.served)
		_ = p.server.ServeListener("tcp", ln)
	}()
	<-p.server.Started
	if err = errors.Join(err, p.client.Connect("tcp", ln.Addr().String())); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Caller implements Peer.
func (p *rpcxPeer) Caller(body []byte) func() ([]byte, error) {
	ctx := context.Background()
	in := &Message{Body: body}
	return func() ([]byte, error) {
		var out Message
		err := p.client.Call(ctx, "Echo", "Call", in, &out)
		return out.Body, err
	}
}

// Close implements Peer.
func (p *rpcxPeer) Close() {
	_ = p.client.Close()
	_ = p.server.Close()
	<-p.served
}

// quietRPCX keeps rpcx's messages about closed connections off the output.
var quietRPCX = sync.OnceFunc(log.SetDummyLogger)
