package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/router"
	"github.com/meshnode/meshnode/rpc"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	nodes      int
	duration   time.Duration
	partitions int
	trace      bool // print the trace, not just its hash
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("guest", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.nodes, "nodes", 5, "how many nodes")
	flags.DurationVar(&o.duration, "duration", time.Minute, "how long they run")
	flags.IntVar(&o.partitions, "partitions", 1<<10, "partitions of the table, a power of two")
	flags.BoolVar(&o.trace, "trace", false, "print every event")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.nodes < 1 || o.nodes > 1<<16 || o.duration <= 0 {
		return o, errors.New("want 1 to 65536 nodes and a positive duration")
	}
	return o, nil
}

type (
	pingRequest struct{ Key string }
	pingReply   struct{ Node string }
)

// run runs the cluster: all nodes start, then one call is made each virtual
// second, the last node crashes at half time, and in the end the others must
// agree.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(io.Discard)
	if o.trace {
		out.Reset(stdout)
	}
	c := &cluster{options: o, trace: newTrace(out)}
	c.net = newNetwork(c.trace)
	err = c.play(ctx)
	err = errors.Join(err, out.Flush())
	fmt.Fprintf(stdout, "events %d\ntrace %x\n", c.trace.count(), c.trace.sum())
	return err
}

// cluster is the nodes of this process. Its fields don't change after play has
// started them.
type cluster struct {
	options
	trace *trace
	net   *network
	ping  rpc.Method[pingRequest, pingReply]
	nodes []*node.Node
}

func (c *cluster) play(ctx context.Context) error {
	c.ping = rpc.NewMethod[pingRequest, pingReply]("guest.Ping", rpc.Idempotent())
	end := time.Now().Add(c.duration)
	for i := range c.options.nodes {
		if err := c.start(ctx, i); err != nil {
			return err
		}
	}
	c.calls(ctx, time.Until(end)/2, c.nodes)
	rest := c.nodes
	if len(rest) > 2 {
		crashed := rest[len(rest)-1]
		c.trace.add("crash %s", crashed.Name())
		crashed.Close()
		rest = rest[:len(rest)-1]
	}
	c.calls(ctx, time.Until(end), rest)
	for _, n := range rest {
		t := n.Table()
		c.trace.add("table of %s: %v, %d members", n.Name(), t.Fingerprint(), t.Len())
		if t.Fingerprint() != rest[0].Table().Fingerprint() {
			return fmt.Errorf("%s and %s don't agree in the end", n.Name(), rest[0].Name())
		}
	}
	return nil
}

func (c *cluster) start(ctx context.Context, i int) error {
	name := fmt.Sprintf("n%03d", i)
	cfg := node.Config{
		Name: name, Bind: fmt.Sprintf("10.0.%d.%d:7000", i>>8, i&0xff), Network: c.net,
		Table:    router.Params{Partitions: uint32(c.partitions)},
		Logger:   zerolog.New(c.trace.writer(name)).Level(zerolog.DebugLevel),
		RandSeed: uint64(i) + 1, Profile: membership.LAN,
	}
	if i > 0 {
		cfg.Seeds = []string{"10.0.0.0:7000"}
	}
	n, err := node.New(cfg)
	if err != nil {
		return err
	}
	c.ping.Handle(n, func(context.Context, *pingRequest) (*pingReply, error) {
		return &pingReply{Node: name}, nil
	})
	if err := n.Start(ctx); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	c.nodes = append(c.nodes, n)
	return nil
}

// calls makes a call each second for as long as d, from each of nodes in turn.
func (c *cluster) calls(ctx context.Context, d time.Duration, nodes []*node.Node) {
	for i := range int(d / time.Second) {
		key := fmt.Sprint("key", i)
		reply, err := c.ping.Call(ctx, nodes[i%len(nodes)], &pingRequest{Key: key}, rpc.Key(key))
		if err != nil {
			c.trace.add("call %s: %v", key, err)
		} else {
			c.trace.add("call %s: %s", key, reply.Node)
		}
		time.Sleep(time.Second)
	}
}
