package main

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/node"
)

const statsLong = `Shows what a node has counted since it started: calls, retries, failovers, moved
partitions, bytes and errors of its connections.

With --prometheus it prints everything in the text format of Prometheus, calls by
method, code, destination and peer, and the histograms of their latencies too: the
same that Node.WriteMetrics gives to a program that embeds the node.`

func newStats(a *app) *cobra.Command {
	var prometheus bool
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Show what a node has counted",
		Long:  statsLong,
		Example: `  meshnode stats
  meshnode stats -o json | jq '{failovers, retries, hedges}'
  meshnode stats --prometheus | grep meshnode_call_seconds`,
		Args: noArgs,
		RunE: action(func(ctx context.Context, _ *cobra.Command, _ []string) error { return a.stats(ctx, prometheus) }),
	}
	a.addrFlag(cmd, anyAddr)
	cmd.Flags().BoolVar(&prometheus, "prometheus", false, "print the text format of Prometheus")
	a.outputFlag(cmd)
	return cmd
}

func (a *app) stats(ctx context.Context, prometheus bool) error {
	c, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if prometheus {
		reply, err := node.Metrics.Call(ctx, c, &node.MetricsRequest{})
		if err != nil {
			return err
		}
		return a.printLines(strings.TrimRight(reply.Text, "\n"))
	}
	reply, err := node.Statistics.Call(ctx, c, &node.StatisticsRequest{})
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(reply.Counters)
	}
	t := newTable("COUNTER", ">VALUE")
	for _, name := range slices.Sorted(maps.Keys(reply.Counters)) {
		t.add(name, thousands(reply.Counters[name]))
	}
	return a.printLines(t.lines()...)
}
