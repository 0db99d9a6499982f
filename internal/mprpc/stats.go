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

// counters are their names, and what they count and what a rise means.
var counters = [counterCount]struct{ name, help string }{
	conns:        {"mprpc_conns", "Streams of MessagePack-RPC clients that were taken. A rise is new clients."},
	connsRefused: {"mprpc_conns_refused", "Streams of MessagePack-RPC clients refused, over the limit or while the node stops. A rise means too many clients."},
	calls:        {"mprpc_calls", "Requests and notifications of MessagePack-RPC clients carried into the mesh. A rise is traffic."},
	failures:     {"mprpc_errors", "Requests and notifications of MessagePack-RPC clients that ended in an error. A rise means calls that fail or are refused."},
	overLimit:    {"mprpc_over_limit", "Requests, answers and streams of MessagePack-RPC clients refused because a limit was reached. A rise means overload."},
	malformed:    {"mprpc_malformed", "Streams ended for bytes that are no MessagePack-RPC. A rise means broken clients, or another protocol at the port."},
	tooLarge:     {"mprpc_too_large", "Streams of MessagePack-RPC clients ended for a message over the limit. A rise means clients that send too much."},
	timeouts:     {"mprpc_timeouts", "Streams of MessagePack-RPC clients ended because a message did not come to its end, or an answer was not read. A rise means clients that hang."},
}

// Help returns for each counter of Stats a sentence or two: what is counted, and what a
// rise means. The map is the caller's.
func Help() map[string]string {
	all := make(map[string]string, counterCount)
	for _, c := range counters {
		all[c.name] = c.help
	}
	return all
}

type stats struct{ counts [counterCount]atomic.Uint64 }

func (s *stats) add(c counter) { s.counts[c].Add(1) }

// Stats gives every counter since the start by name; the map is the caller's.
func (g *Gateway) Stats() map[string]uint64 {
	all := make(map[string]uint64, counterCount)
	for c := range counterCount {
		all[counters[c].name] = g.stats.counts[c].Load()
	}
	return all
}
