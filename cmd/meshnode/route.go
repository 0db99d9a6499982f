package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

const routeLong = `Routes every line of a file as a key: each is sent to its owner through the node
at --addr, many at a time. It shows whether all keys find an owner that answers,
how evenly they spread, and what a call costs.

The method is mesh.Echo, and an answer counts only if it is from the node that it
is said to be from, for the key that was sent. With another --method the request
is {} and any reply counts.

Empty lines are skipped. The exit status is 1 if a call failed.`

const routeExample = `  meshnode route --keys /usr/share/dict/words
  seq 100000 | meshnode route --keys - --parallel 256
  meshnode route --keys users.txt --addr 127.0.0.1:7103 -o json | jq .p99_us`

// routeFlags say what is routed and how.
type routeFlags struct {
	keys     string
	method   string
	parallel int
	timeout  time.Duration
}

func newRoute(a *app) *cobra.Command {
	f := &routeFlags{}
	cmd := &cobra.Command{
		Use:     "route",
		Short:   "Route every line of a file as a key",
		Long:    routeLong,
		Example: routeExample,
		Args:    noArgs,
		RunE: action(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			if f.keys == "" {
				return usagef("no keys; name a file with --keys FILE, or --keys - for standard input")
			}
			if _, err := rpc.Untyped(f.method); err != nil {
				return usagef("--method: %s", rpc.AsError(err).Message)
			}
			return a.route(ctx, f)
		}),
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.keys, "keys", "k", "", "`file` with a key on each line, or - for standard input")
	a.addrFlag(cmd, anyAddr)
	flagOf(cmd, &f.parallel, "parallel", "p", "64", "keep `n` calls under way at a time", parseCount(1, 10_000))
	flags.StringVar(&f.method, "method", node.Echo.Name(), "`name` of the method to call")
	flagOf(cmd, &f.timeout, "timeout", "t", "5s", "`time` that one call may take", parseTimeout)
	a.outputFlag(cmd)
	return cmd
}

func (a *app) route(ctx context.Context, f *routeFlags) error {
	keys, err := a.openKeys(f.keys)
	if err != nil {
		return fmt.Errorf("--keys: %w", err)
	}
	c, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	t := &tally{perNode: make(map[string]int)}
	start := time.Now()
	stop := a.showProgress(t, keys, start)
	err = routeAll(ctx, keys, f.parallel, func(key string) {
		began := time.Now()
		name, err := routeOne(ctx, c, f, key)
		t.add(key, name, time.Since(began), err)
	})
	stop()
	elapsed := time.Since(start)
	if t.total == 0 && err == nil {
		return failf(rpc.InvalidArgument, "%s holds no keys", f.keys)
	}
	report := t.report(elapsed, keys.empty)
	if shares, err := node.Members.Call(ctx, c, &node.MembersRequest{}); err == nil {
		report.compare(shares.Members)
	}
	if err := a.printRoute(report); err != nil {
		return err
	}
	switch {
	case err != nil:
		return err
	case report.Failed > 0:
		return failf(rpc.Unavailable, "%s of %s keys failed", thousands(report.Failed), thousands(report.Total))
	}
	return nil
}

// routeAll has so many workers take the keys. It returns when all have ended;
// the error is the file's, or ctx's.
func routeAll(ctx context.Context, keys *keyReader, workers int, one func(key string)) error {
	queue := make(chan string, workers)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for key := range queue {
				if ctx.Err() == nil {
					one(key)
				}
			}
		})
	}
	err := keys.each(ctx, func(key string) error {
		select {
		case queue <- key:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	close(queue)
	wg.Wait()
	return err
}

// routeOne sends one key to its owner and gives the name of who answered.
func routeOne(ctx context.Context, c rpc.Caller, f *routeFlags, key string) (string, error) {
	if f.method == node.Echo.Name() {
		by, err := echoKey(ctx, c, key, rpc.Timeout(f.timeout))
		return by.node, err
	}
	answers, err := forward(ctx, c, &node.ForwardRequest{
		Method: f.method, Body: emptyMap(), Keyed: true, Key: key, Idempotent: true,
	}, rpc.Timeout(f.timeout))
	if err != nil {
		return "", err
	}
	return answers[0].Node, answers[0].Err()
}

// emptyMap is the msgpack of {}.
func emptyMap() []byte { return []byte{0x80} }
