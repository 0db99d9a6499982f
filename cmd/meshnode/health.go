package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

const healthLong = `Asks the node at --addr how it is, for probes and scripts. The exit status is the
answer: 0 if it is well, 1 if not.

Without --ready a node is well that answers at all, as a liveness probe asks. With
--ready it must route and serve calls by key too, as a readiness probe asks: a node
is not ready while it joins and from the moment it begins to leave.`

func newHealth(a *app) *cobra.Command {
	var ready bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Say by the exit status whether a node is well",
		Long:  healthLong,
		Example: `  meshnode health
  meshnode health --ready --addr 10.0.0.7:7101 --timeout 1s
  until meshnode health --ready 2>/dev/null; do sleep 1; done   # wait for a node to be ready`,
		Args: noArgs,
		RunE: action(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			return a.health(ctx, ready)
		}),
	}
	a.addrFlag(cmd, "ask the node at `host:port`")
	cmd.Flags().BoolVar(&ready, "ready", false, "fail unless the node routes and serves calls by key")
	flagOf(cmd, &timeout, "timeout", "t", "2s", "`time` that the node may take to answer", parseTimeout)
	a.outputFlag(cmd)
	return cmd
}

func (a *app) health(ctx context.Context, ready bool) error {
	p, err := a.ping(ctx)
	if err != nil {
		return err
	}
	if a.json() {
		err = a.printJSON(p)
	} else if p.Ready || !ready { // what is missing is said by the error
		err = a.printLines(healthLine(p))
	}
	if err == nil && ready && !p.Ready {
		err = failf(rpc.Unavailable, "%s is not ready: %s", p.Node, p.Why)
	}
	return err
}

// ping asks the node at --addr how it is, over a connection of its own.
func (a *app) ping(ctx context.Context) (*node.PingReply, error) {
	c, err := a.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return node.Ping.Call(ctx, c, &node.PingRequest{})
}

func healthLine(p *node.PingReply) string {
	if !p.Ready {
		return fmt.Sprintf("%s answers and is not ready: %s", p.Node, oneLine(p.Why))
	}
	return fmt.Sprintf("%s is ready: it sees %s, of whom %s keys by table %s",
		p.Node, plural(p.Members, "member", "members"), ownCount(p.Owners), p.Fingerprint)
}

func ownCount(n int) string {
	if n == 1 {
		return "1 owns"
	}
	return thousands(n) + " own"
}
