package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

const leaveLong = `Makes the node at --addr leave gracefully, as SIGTERM to its process would: it
tells the cluster, waits until the others route past it, finishes the calls
that it has accepted, and stops. Its keys go to others without a call lost.

The command returns as soon as the node has agreed to leave. With --wait it returns
when the node's process no longer answers at --addr, or fails after --timeout: then
the node still leaves, and is only slow.`

func newLeave(a *app) *cobra.Command {
	var wait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "Make a node leave gracefully",
		Long:  leaveLong,
		Example: `  meshnode leave --addr 127.0.0.1:7103
  meshnode leave --addr 127.0.0.1:7103 --wait --timeout 1m`,
		Args: noArgs,
		RunE: action(func(ctx context.Context, _ *cobra.Command, _ []string) error { return a.leave(ctx, wait, timeout) }),
	}
	a.addrFlag(cmd, "the node at `host:port` is to leave")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the node has stopped")
	flagOf(cmd, &timeout, "timeout", "t", "30s", "with --wait: `time` that the node may take to stop", parseTimeout)
	a.outputFlag(cmd)
	return cmd
}

func (a *app) leave(ctx context.Context, wait bool, timeout time.Duration) error {
	c, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	before, err := node.Ping.Call(ctx, c, &node.PingRequest{})
	if err != nil {
		return err
	}
	reply, err := node.Leave.Call(ctx, c, &node.LeaveRequest{})
	if err != nil {
		return err
	}
	said := reply.Node + " leaves"
	if wait {
		if err := a.awaitStop(ctx, before, timeout); err != nil {
			return err
		}
		said = reply.Node + " has stopped"
	}
	if a.json() {
		return a.printJSON(reply)
	}
	return a.printLines(said)
}

// stopPoll is how often awaitStop looks. A node takes a second or so to leave.
const stopPoll = 50 * time.Millisecond

// awaitStop waits until the process that before is of no longer answers at --addr.
func (a *app) awaitStop(ctx context.Context, before *node.PingReply, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		p, err := a.ping(ctx)
		switch {
		case ctx.Err() == nil && (err != nil || p.Boot != before.Boot):
			return nil
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return failf(rpc.DeadlineExceeded, "%s has not stopped within %v; it goes on leaving", before.Node, timeout)
		case ctx.Err() != nil:
			return ctx.Err()
		}
		select {
		case <-time.After(stopPoll):
		case <-ctx.Done():
		}
	}
}
