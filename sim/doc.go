// Package sim runs a whole mesh in one process, on a simulated network and in
// virtual time: the nodes are those of package node, as they are shipped, and a
// minute takes milliseconds. Tests use it through [Test]:
//
//	func TestTakeover(t *testing.T) {
//		sim.Test(t, sim.Config{Nodes: 5, Setup: serve}, func(t *testing.T, c *sim.Cluster) {
//			c.Partition([]int{0, 1, 2}, []int{3, 4})
//			time.Sleep(30 * time.Second) // of virtual time
//			c.Heal()
//			c.MustConverge(t, time.Minute)
//		})
//	}
//
// # What is simulated
//
// Sockets, and nothing else: a node gets its transport.Network from here. Packets
// and streams have latencies, losses, bandwidth; hosts crash, lose power, freeze,
// are slow and come back, at the same or another address. Package
// internal/simnet says how far that goes, and docs/simulator.md how its figures
// compare with those of real processes.
//
// # What is repeated by a seed
//
// Every decision of the network is a hash of the seed, the link and a packet's
// number, and every node's own random source is seeded from the seed. What a seed
// does not fix natively is the order in which goroutines run that are ready at the
// same instant, so that a run differs in details from one with the same seed. An
// exact run (meshnode sim --exact) fixes that too.
//
// # Concurrency
//
// The methods of Cluster may be called from any goroutine inside the simulation.
// None holds a lock while it waits.
//
// # Failures
//
// A simulation whose virtual time stands still, because a goroutine waits for
// something real, is ended by a watchdog that prints all stacks.
package sim
