package mprpc

import "sync/atomic"

type counter int

const (
	conns        counter = iota // streams taken
	connsRefused                // streams over MaxConns, or while the node stops
	calls                       // requests and notifications carried into the mesh
	failures                    // of these and of refused ones: those that ended in an error
	overLimit                   // requests, answers and streams refused because a limit was reached
	malformed                   // streams ended for bytes that are no MessagePack-RPC
	tooLarge                    // streams ended for a message over the limit
	timeouts                    // streams ended for a message or an answer that took too long
	counterCount
)

var counterNames = [counterCount]string{
	"mprpc_conns", "mprpc_conns_refused", "mprpc_calls", "mprpc_errors",
	"mprpc_over_limit", "mprpc_malformed", "mprpc_too_large", "mprpc_timeouts",
}

type stats struct{ counts [counterCount]atomic.Uint64 }

func (s *stats) add(c counter) { s.counts[c].Add(1) }

// Stats gives every counter since the start by name; the map is the caller's.
func (g *Gateway) Stats() map[string]uint64 {
	all := make(map[string]uint64, counterCount)
	for c := range counterCount {
		all[counterNames[c]] = g.stats.counts[c].Load()
	}
	return all
}
