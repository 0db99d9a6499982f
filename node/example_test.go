package node_test

import (
	"context"
	"fmt"
	"log"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

type HelloRequest struct{ Name string }

type HelloReply struct{ Text string }

var Hello = rpc.NewMethod[HelloRequest, HelloReply]("greeter.Hello", rpc.Idempotent())

// Two nodes in one process. The second joins by the first; a call for a key
// lands on the node that owns it, whichever node it is made on.
func Example() {
	ctx := context.Background()
	start := func(name string, seeds ...string) *node.Node {
		n, err := node.New(node.Config{Name: name, Cluster: "example", Seeds: seeds, Profile: membership.Local})
		if err != nil {
			log.Fatal(err)
		}
		Hello.Handle(n, func(_ context.Context, req *HelloRequest) (*HelloReply, error) {
			return &HelloReply{Text: "hello " + req.Name + ", this is " + name}, nil
		})
		if err := n.Start(ctx); err != nil {
			log.Fatal(err)
		}
		return n
	}
	a := start("a")
	defer a.Stop(ctx)
	b := start("b", a.Addr().String())
	defer b.Stop(ctx)
	for _, key := range []string{"alice", "erin"} {
		reply, err := Hello.Call(ctx, b, &HelloRequest{Name: key}, rpc.Key(key))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(reply.Text)
	}
	// Output:
	// hello alice, this is a
	// hello erin, this is b
}
