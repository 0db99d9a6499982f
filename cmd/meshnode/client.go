package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

// defaultAddr is where run listens and the other commands ask, unless they are
// told otherwise.
const defaultAddr = "127.0.0.1:7101"

// anyAddr is what --addr means to most commands.
const anyAddr = "ask the node at `host:port`; any node of the cluster will do"

// addrFlag gives cmd the flag --addr, and those of TLS.
func (a *app) addrFlag(cmd *cobra.Command, usage string) {
	flagOf(cmd, &a.addr, "addr", "a", defaultAddr, usage, parseHostPort)
	a.tls.add(cmd)
}

// dial connects to the node at --addr.
func (a *app) dial(ctx context.Context) (*node.Client, error) {
	security, err := a.tls.load(zerolog.Nop())
	if err != nil {
		return nil, err
	}
	c, err := node.Dial(ctx, a.addr, node.ClientConfig{TLS: security})
	switch {
	case err == nil:
		return c, nil
	case errors.Is(err, context.Canceled):
		return nil, err
	}
	return nil, failf(rpc.Unavailable, "%w (%s)", err, a.tls.hint(err))
}

// forward has the node that c is connected to carry one call, and gives the
// answers: one, unless the call goes to many. The error is for what prevents
// every answer.
func forward(ctx context.Context, c rpc.Caller, req *node.ForwardRequest, opts ...rpc.CallOption) ([]node.ForwardAnswer, error) {
	reply, err := node.Forward.Call(ctx, c, req, opts...)
	if err != nil {
		return nil, err
	}
	if len(reply.Answers) == 0 {
		return nil, rpc.Errorf(rpc.Internal, "the node at the other end gave no answer")
	}
	return reply.Answers, nil
}

// echoKey calls Echo on the owner of key and returns who answered, and whether in the
// owner's place. The error also tells of an answer that is not right.
func echoKey(ctx context.Context, c rpc.Caller, key string, opts ...rpc.CallOption) (echoed, error) {
	body, err := rpc.Encode(nil, &node.EchoRequest{Data: []byte(key)})
	if err != nil {
		return echoed{}, err
	}
	answers, err := forward(ctx, c, &node.ForwardRequest{
		Method: node.Echo.Name(), Body: body, Keyed: true, Key: key, Idempotent: true,
	}, opts...)
	if err != nil {
		return echoed{}, err
	}
	return checkEcho(&answers[0], key)
}

// echoed is who answered a call of Echo.
type echoed struct {
	node     string
	takeover bool // in the place of the key's owner
}

// checkEcho checks that an answer of Echo is the one of the node that it is
// said to be from, and for this key.
func checkEcho(a *node.ForwardAnswer, key string) (echoed, error) {
	by := echoed{node: a.Node}
	if err := a.Err(); err != nil {
		return by, err
	}
	var echo node.EchoReply
	if err := rpc.Decode(a.Body, &echo); err != nil {
		return by, fmt.Errorf("reply of %s: %w", a.Node, err)
	}
	by.takeover = echo.Failover
	if echo.Node != a.Node {
		return by, rpc.Errorf(rpc.Internal, "the answer of %s says that it is from %s", a.Node, echo.Node)
	}
	if string(echo.Data) != key {
		return by, rpc.Errorf(rpc.Internal, "%s answered for another key", a.Node)
	}
	return by, nil
}
