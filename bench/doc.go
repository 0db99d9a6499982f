// Command bench runs the same echo over this project and over what people use instead, in one process over loopback,
// and prints calls/s, latency, CPU and allocations side by side:
//
//	go -C bench run . --quick
//
// A peer is a client and a server with one connection between them, started anew for each cell (a size and a number of
// callers) and closed after it, so that no peer pays for the goroutines, the heap or the background work of another.
// Rounds go over all cells, and within a cell over all peers in a rotated order; medians over the rounds are printed.
// Machines drift, so the ratio to the limit is taken within each round, between neighbours in time, before the median.
//
// The limit is the least that a multiplexed echo can do: see limit.go. What each peer is and how it is set up stands
// at its constructor, and for readers in docs/benchmarks.md.
//
// To add a peer, write its constructor in a file of its own and add it to the table in peers.go; a stream peer goes
// into the table in streams.go.
//
// A failed, lost, short or mixed-up reply fails the measurement that it happens in: it gives no figures, is told at the
// end, and makes the exit status 1.
package main
