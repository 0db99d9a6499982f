// Package simnet is a network in memory, for simulations: hosts, links between
// them, datagrams and streams, with the faults that real networks have. A
// [Stack] is one process's part of it and implements transport.Network, so that
// everything above is the code that is shipped.
//
//	net := simnet.New(simnet.Config{Seed: 1, Link: simnet.Link{Latency: simnet.Constant(time.Millisecond)}})
//	a := net.Host("a", netip.MustParseAddr("10.0.0.1")).Boot()
//	b := net.Host("b", netip.MustParseAddr("10.0.0.2")).Boot()
//	ln, _ := b.Listen(ctx, "10.0.0.2:7101")
//	conn, _ := a.Dial(ctx, "10.0.0.2:7101")
//
// # Time
//
// Time is package time: in a bubble of testing/synctest, or under a virtual
// clock, a second of latency costs nothing. No goroutine delivers: what is under
// way lies in the receiver's queue with the time at which it is due, and the
// receiver waits for that. Every wait is one that a bubble knows (sync.Cond), and
// no mutex is held over it.
//
// # Chance
//
// Whether a packet is lost, doubled or late is a hash of the seed, the link and
// the packet's number on that link, never the next number of a shared source: so
// a packet's fate does not depend on the order in which goroutines run.
//
// # Streams
//
// A stream is what TCP makes of the same links: nothing is lost or reordered, but
// a lost segment comes a retransmission later, and behind a cut nothing comes
// until a retransmission falls into the time after it (200 ms after the first try,
// then twice as long each time, at most a minute). What was not read when a reset
// comes is lost, which TCP allows. A host that is killed resets its streams; one
// that loses its power says nothing, and who sends to it learns so only when it is
// up again, at the same address. A reset that a cut loses is not sent again: the
// other end learns of it by what it sends itself.
//
// # Processes that end
//
// A Stack is one process's. What is under way to a process that ends is refused
// (streams) or lost (packets); what it has sent arrives. Waits in it end with
// net.ErrClosed. Errors are those of package net: *net.OpError around net.ErrClosed,
// a deadline's error, or the system's number.
//
// # Limits
//
// Acknowledgements are not simulated: a stream's sender is not held up by a cut
// in the other direction, and gives up never. A host that is paused stops at its
// next use of the network, not between two instructions: timers that touch no
// socket go on, and Close and deadlines are no use. The order of packets that
// several goroutines send on one link at the same instant is theirs.
package simnet
