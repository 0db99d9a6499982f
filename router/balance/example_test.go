package balance_test

import (
	"fmt"
	"time"

	"github.com/meshnode/meshnode/router/balance"
)

// The less loaded of two nodes gets the call.
func Example() {
	fast, slow := balance.NewNode("fast", "eu-1", 1), balance.NewNode("slow", "eu-2", 1)
	for node, latency := range map[*balance.Node]time.Duration{fast: time.Millisecond, slow: time.Second} {
		node.Begin()
		node.End(0, latency, false)
	}
	set := balance.NewSet([]*balance.Node{slow, fast}, "eu-1")
	b, err := balance.ByName("least-loaded")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(set.Nodes[b.Pick(set, 1, 0)].Name)
	_, err = balance.ByName("nearest")
	fmt.Println(err)
	// Output:
	// fast
	// balance: no such balancer: "nearest"; there are round-robin, random, weighted, least-loaded, zone-first, bounded
}
