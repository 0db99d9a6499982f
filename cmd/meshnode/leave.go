package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/node"
)

const leaveLong = `Makes the node at --addr leave gracefully, as SIGTERM to its process would: it
tells the cluster, waits until the others route past it, finishes the calls
that it has accepted, and stops. Its keys go to others without a call lost.

The command returns as soon as the node has agreed to leave.`

func newLeave(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "leave",
		Short:   "Make a node leave gracefully",
		Long:    leaveLong,
		Example: `  meshnode leave --addr 127.0.0.1:7103`,
		Args:    noArgs,
		RunE:    action(func(ctx context.Context, _ *cobra.Command, _ []string) error { return a.leave(ctx) }),
	}
	a.addrFlag(cmd, "the node at `host:port` is to leave")
	a.outputFlag(cmd)
	return cmd
}

func (a *app) leave(ctx context.Context) error {
	c, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	reply, err := node.Leave.Call(ctx, c, &node.LeaveRequest{})
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(reply)
	}
	return a.printLines(reply.Node + " leaves")
}
