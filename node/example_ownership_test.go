package node_test

import (
	"context"
	"fmt"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/router"
)

// A hook fetches the state of what its node has gained, while calls for that
// wait, and hands over what it has lost.
func ExampleNode_OnOwnership() {
	n, err := node.New(node.Config{
		Name: "a", Cluster: "example-ownership", Profile: membership.Local, Table: router.Params{Partitions: 1 << 10},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	told := make(chan struct{}, 2)
	n.OnOwnership(func(c node.OwnershipChange) {
		fmt.Printf("gained %d partitions, lost %d\n", len(c.Gained), len(c.Lost))
		told <- struct{}{}
	}, node.HoldServing(5*time.Second))
	ctx := context.Background()
	if err := n.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	<-told // a node that stops before is not told of what it would have gained
	if err := n.Stop(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// gained 1024 partitions, lost 0
	// gained 0 partitions, lost 1024
}
