package simnet

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Config says what a network is like where no rule says more.
type Config struct {
	// Seed decides every fate.
	Seed uint64
	// Link is what each direction between two hosts is like.
	Link Link
	// Grain has datagrams arrive at whole multiples of it, rounded up: many at one
	// moment, which is cheaper to simulate than one after the other. 0: no rounding.
	Grain time.Duration
	// Trace is told all that happens, one event after the other. It must return
	// soon and use nothing of the network. May be nil.
	Trace func(Event)
	// Strip takes from a datagram what must not arrive, for a host that is
	// deaf to something; it returns the rest, nil for none. May be nil.
	Strip func(to *Host, packet []byte) []byte
}

// Event is something that happened on the network.
type Event struct {
	At       time.Time
	Kind     EventKind
	From, To string // names of hosts
	Seq      uint64 // of the packet on its link, of the segment in its direction of the stream
	Size     int    // bytes
	Sum      uint32 // of the bytes (CRC-32), 0 for none
}

// EventKind says what happened.
type EventKind string

// The kinds of events.
const (
	EventPacket  EventKind = "packet"  // a datagram was sent
	EventLost    EventKind = "lost"    // and will not arrive
	EventFull    EventKind = "full"    // and found the queue full
	EventSegment EventKind = "segment" // bytes were written to a stream
	EventDial    EventKind = "dial"    // a stream was opened
	EventRefused EventKind = "refused" // nobody listens there
	EventReset   EventKind = "reset"   // a stream was reset
	EventHost    EventKind = "host"    // a host changed; To says how
)

// Net is a network. Make it with New; its methods are safe for concurrent use.
//
// Invariant: hosts never go; a host's addresses in byAddr are those it has and
// those it had, so that what is sent to an old one is lost, not misdelivered.
// Stalled are the pipes that hold segments back.
type Net struct {
	cfg Config

	mu      sync.Mutex
	hosts   []*Host
	byAddr  map[netip.Addr]*Host
	byName  map[string]*Host
	names   map[string]name
	links   map[linkKey]*link
	rules   []ruled
	ruleID  RuleID
	version int    // of rules
	pipes   uint64 // made so far
	stalled map[*pipe]struct{}
}

// name is what a DNS server answers.
type name struct {
	addrs []netip.Addr
	delay time.Duration
	err   error
}

// New makes a network without hosts.
func New(cfg Config) *Net {
	return &Net{
		cfg: cfg, byAddr: map[netip.Addr]*Host{}, byName: map[string]*Host{}, names: map[string]name{}, links: map[linkKey]*link{},
		stalled: map[*pipe]struct{}{},
	}
}

// Host adds a host, which is down until it is booted. Names and addresses are
// unique; a second host of either is a mistake in the program, and panics.
func (n *Net) Host(name string, addr netip.Addr) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	if other := n.byAddr[addr]; other != nil {
		panic(fmt.Sprintf("simnet: %s is the address of %s", addr, other.name))
	}
	if n.byName[name] != nil {
		panic(fmt.Sprintf("simnet: there is a host %s already", name))
	}
	h := &Host{net: n, name: name, addr: addr, hash: hashOf(name)}
	n.byAddr[addr], n.byName[name] = h, h
	n.hosts = append(n.hosts, h)
	return h
}

// hashOf makes a number of a name (FNV-1a).
func hashOf(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return mix(h)
}

// Hosts gives all hosts, sorted by name.
func (n *Net) Hosts() []*Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	hosts := slices.Clone(n.hosts)
	slices.SortFunc(hosts, func(a, b *Host) int { return cmp.Compare(a.name, b.name) })
	return hosts
}

// SetName has the network's DNS answer a host name with these addresses, after
// a delay; err instead, if it is not nil.
func (n *Net) SetName(host string, delay time.Duration, err error, addrs ...netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names[host] = name{addrs: slices.Clone(addrs), delay: delay, err: err}
}

// noteLocked tells the trace. The caller holds mu, so that events have an order.
func (n *Net) noteLocked(kind EventKind, from, to string, seq uint64, b []byte) {
	if n.cfg.Trace == nil {
		return
	}
	e := Event{At: time.Now(), Kind: kind, From: from, To: to, Seq: seq, Size: len(b)}
	if len(b) > 0 {
		e.Sum = crc32.ChecksumIEEE(b)
	}
	n.cfg.Trace(e)
}

// rulesChanged lets what waits behind a cut go on where the cut is gone.
func (n *Net) rulesChanged() {
	n.mu.Lock()
	n.version++
	n.retryLocked()
	n.mu.Unlock()
}

// retryLocked looks again at the streams that wait behind a cut, in the order in
// which they were made, so that it is the same in each run.
func (n *Net) retryLocked() {
	var free []*pipe
	for p := range n.stalled {
		switch {
		case p.from.dark: // nobody is there to send it again
			p.goDarkLocked()
		case n.passesLocked(p):
			delete(n.stalled, p)
			free = append(free, p)
		}
	}
	slices.SortFunc(free, func(a, b *pipe) int { return cmp.Compare(a.id, b.id) })
	for _, p := range free {
		p.resumeLocked()
	}
}
