package node

import (
	"net"

	"github.com/meshnode/meshnode/internal/mprpc"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// newForeign gives what serves MessagePack-RPC clients.
func (n *Node) newForeign() *mprpc.Gateway {
	return mprpc.New(mprpc.Config{
		Invoke: n.Invoke, Served: n.served, Self: n.cfg.Name, Logger: n.log,
		Limits: mprpc.Limits{
			MaxMessage: n.cfg.Limits.Transport.MaxBody,
			MaxCalls:   min(n.cfg.Limits.Transport.MaxCalls, mprpc.DefaultMaxCalls),
		},
	})
}

// served gives the spec of a method that this node serves, or nil.
func (n *Node) served(method string) *rpc.Spec {
	if h := n.handlers.find(method); h != nil {
		return h.Spec
	}
	return nil
}

// foreignStreams gives who takes streams of MessagePack-RPC clients, or nil:
// they are refused.
func (n *Node) foreignStreams() func(net.Conn) {
	if n.cfg.NoMsgpackRPC {
		return nil
	}
	return func(nc net.Conn) {
		var who rpc.Identity
		who.Name, who.Verified = transport.CertificateName(nc)
		n.foreign.ServeConn(nc, who)
	}
}
