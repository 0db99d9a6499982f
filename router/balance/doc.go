// Package balance picks the node for a call that several could serve.
//
//	b, err := balance.ByName("least-loaded")
//	set := balance.NewSet(nodes, "eu-1")
//	i := b.Pick(set, turn, now)
//	node := set.Nodes[i]
//	node.Begin()
//	…
//	node.End(now, latency, failed)
//
// A [Node] is what one caller knows of one node: calls under way, how long they
// take of late, and what the node said of its own load. A [Set] is the nodes that
// may be picked; it is made anew when members change, of nodes that are kept. A
// [Balancer] is a rule; those of this package are stateless, and all that they
// know comes in by their arguments.
//
// # Concurrency
//
// Everything may be used by any number of goroutines. The package has no clock
// and starts nothing: now is the time since any fixed moment, turn a number that
// grows by one with each pick.
package balance
