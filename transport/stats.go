package transport

import "sync/atomic"

// Counter names a number that an Endpoint counts since its start.
type Counter int

// The counters. Those about refusals and violations have one for each named
// error, so that nothing from outside fails unseen.
const (
	ConnsAccepted Counter = iota
	ConnsDialled
	DialsFailed
	ConnsClosed
	ConnsRefused       // handshakes that we or the peer ended
	StreamsRefused     // streams of no known or wanted kind
	ProtocolErrors     // connections ended for a violation of the protocol
	FramesTooLarge     // frames over the limit
	BodiesTooLarge     // requests, replies and messages over the limit, in or out
	CallsSent          // calls queued for peers
	CallsReceived      // calls accepted from peers
	CallsCanceled      // calls given up by their caller here
	CallsExpired       // calls that arrived too late to start
	CallsOverLimit     // calls refused because too many are in flight
	RepliesUnexpected  // replies that nobody waits for any more
	WriteQueueFull     // calls refused because the peer does not read
	StreamsOpened      // streams opened by peers or here
	StreamsStalled     // streams and bodies ended because the other side stopped
	PingFloods         // connections ended for too many pings
	WindowOverflows    // connections ended for breaking flow control
	KeepaliveTimeouts  // connections ended because the peer did not answer
	ConnsIdled         // connections ended because nobody used them
	PeersSilent        // connections whose peer gave no sign of life when asked for one
	HTTPRefused        // streams refused because they speak HTTP
	StrangersDisplaced // streams of strangers closed to make room for others
	counterCount
)

var counterNames = [counterCount]string{
	"conns_accepted", "conns_dialled", "dials_failed", "conns_closed",
	"conns_refused", "streams_refused", "protocol_errors", "frames_too_large", "bodies_too_large",
	"calls_sent", "calls_received", "calls_canceled", "calls_expired",
	"calls_over_limit", "replies_unexpected", "write_queue_full",
	"streams_opened", "streams_stalled", "ping_floods", "window_overflows",
	"keepalive_timeouts", "conns_idled", "peers_silent", "http_refused", "strangers_displaced",
}

// String is the counter's name in snake case, as metrics have it.
func (c Counter) String() string { return counterNames[c] }

// Stats are an endpoint's counters. The zero value is ready.
type Stats struct{ counts [counterCount]atomic.Uint64 }

func (s *Stats) add(c Counter, n uint64) { s.counts[c].Add(n) }

// Get gives one counter.
func (s *Stats) Get(c Counter) uint64 { return s.counts[c].Load() }

// All gives every counter by name; the map is the caller's.
func (s *Stats) All() map[string]uint64 {
	all := make(map[string]uint64, counterCount)
	for c := range counterCount {
		all[c.String()] = s.Get(c)
	}
	return all
}
