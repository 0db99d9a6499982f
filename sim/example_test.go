//go:build !race

package sim_test

import (
	"context"
	"fmt"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/sim"
)

type (
	greetRequest struct{ Name string }
	greetReply   struct{ Text string }
)

var greet = rpc.NewMethod[greetRequest, greetReply]("example.Greet", rpc.Idempotent())

// Five nodes with a handler of ours are cut in two, and whole again. All of it takes
// minutes of virtual time, and a fraction of a second. In a test, sim.Test does what
// Run, New, Start and Close do here.
func Example() {
	cfg := sim.Config{
		Nodes: 5, Seed: 1, Profile: membership.Local,
		Setup: func(_ int, n *node.Node) {
			greet.Handle(n, func(_ context.Context, req *greetRequest) (*greetReply, error) {
				return &greetReply{Text: "hello " + req.Name + ", from " + n.Name()}, nil
			})
		},
	}
	err := sim.Run(cfg, nil, func() {
		c, err := sim.New(cfg)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute) // of virtual time
		defer cancel()
		if err := c.Start(ctx); err != nil {
			fmt.Println(err)
			return
		}
		settled := func() {
			if _, err := c.WaitConverged(ctx); err != nil {
				fmt.Println(err)
			}
		}
		call := func(from int) {
			reply, err := greet.Call(ctx, c.Node(from), &greetRequest{Name: "alice"}, rpc.Key("alice"))
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Printf("%s, asked by %s of %d\n", reply.Text, c.Node(from).Name(), c.Node(from).Table().Len())
		}
		settled()
		call(0)
		c.Partition([]int{0, 1, 2}, []int{3, 4})
		time.Sleep(time.Minute)
		call(0)
		call(4)
		c.Heal()
		settled()
		call(4)
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// hello alice, from n004, asked by n000 of 5
	// hello alice, from n001, asked by n000 of 3
	// hello alice, from n004, asked by n004 of 2
	// hello alice, from n004, asked by n004 of 5
}
