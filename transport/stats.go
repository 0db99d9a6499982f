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

// counters are their names, and what they count and what a rise means.
var counters = [counterCount]struct{ name, help string }{
	ConnsAccepted:      {"conns_accepted", "Connections that peers and clients opened to this node, refused ones included. A fast rise without new members means peers that reconnect."},
	ConnsDialled:       {"conns_dialled", "Connections that this node opened to peers. A fast rise means that they break or idle out."},
	DialsFailed:        {"dials_failed", "Dials that got no connection. A rise means that a member or a seed is down, out of reach, or refuses this node."},
	ConnsClosed:        {"conns_closed", "Connections that ended, for whatever reason. A rise beside that of conns_dialled means that they do not last."},
	ConnsRefused:       {"conns_refused", "Connections refused before their hello was done. A rise means peers of another cluster, key, version or name, or strangers."},
	StreamsRefused:     {"streams_refused", "Streams refused by the port because nobody here speaks their protocol. A rise means that something else knocks at the port."},
	ProtocolErrors:     {"protocol_errors", "Connections ended because the peer broke the protocol. Any rise means a broken or hostile peer; the log names it."},
	FramesTooLarge:     {"frames_too_large", "Connections ended for a frame over the limit. Any rise means a broken or hostile peer."},
	BodiesTooLarge:     {"bodies_too_large", "Requests, replies and messages over MaxBody, sent or received. A rise means callers that send too much, or limits that differ."},
	CallsSent:          {"calls_sent", "Calls and streams sent to peers, each attempt once. A rise is traffic."},
	CallsReceived:      {"calls_received", "Calls and streams accepted from peers and clients. A rise is traffic."},
	CallsCanceled:      {"calls_canceled", "Calls that their caller here gave up, by cancel or deadline. A rise means impatient callers or slow peers."},
	CallsExpired:       {"calls_expired", "Calls that came after their deadline and were not started. A rise means that this node or the network is too slow."},
	CallsOverLimit:     {"calls_over_limit", "Calls refused because too many calls or bodies were under way. A rise means overload, or handlers that hang."},
	RepliesUnexpected:  {"replies_unexpected", "Replies that came when nobody waited for them any more. A rise goes with calls_canceled."},
	WriteQueueFull:     {"write_queue_full", "Calls refused because the peer did not read what was queued for it. A rise means a peer or a network that is too slow."},
	StreamsOpened:      {"streams_opened", "Streams opened by this node or by peers and clients. A rise is traffic."},
	StreamsStalled:     {"streams_stalled", "Streams and long bodies given up because the other side took or brought nothing for StallTimeout. A rise means readers that hang."},
	PingFloods:         {"ping_floods", "Connections ended for too many pings. Any rise means a broken or hostile peer."},
	WindowOverflows:    {"window_overflows", "Connections ended because the peer sent more than it was granted, or granted too much. Any rise means a broken or hostile peer."},
	KeepaliveTimeouts:  {"keepalive_timeouts", "Connections ended because the peer answered no ping. A rise means peers that froze or a network that was cut."},
	ConnsIdled:         {"conns_idled", "Connections ended because nobody used them for IdleTimeout. A rise is harmless: the next call dials anew."},
	PeersSilent:        {"peers_silent", "Connections whose peer gave no sign of life when asked for one. A rise means peers that froze or a network that was cut."},
	HTTPRefused:        {"http_refused", "Streams refused because they spoke HTTP. A rise means a browser, a probe or a load balancer at the wrong port."},
	StrangersDisplaced: {"strangers_displaced", "Streams of strangers closed to make room for others. A rise means a flood of connections that say nothing; the log names its address."},
}

// String is the counter's name in snake case, as metrics have it.
func (c Counter) String() string { return counters[c].name }

// Help says in a sentence or two what is counted, and what a rise means.
func (c Counter) Help() string { return counters[c].help }

// CounterHelp returns what the counters of endpoints and of TLS count, and what a rise
// means, by name. The map is the caller's.
func CounterHelp() map[string]string {
	all := make(map[string]string, counterCount+Counter(tlsCounterCount))
	for _, c := range counters {
		all[c.name] = c.help
	}
	for _, c := range tlsCounters {
		all[c.name] = c.help
	}
	return all
}

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
