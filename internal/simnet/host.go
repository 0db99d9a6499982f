package simnet

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Host is a machine with one address and at most one process that uses it.
//
// Invariant: stack is the running process's, nil while none runs; what a former
// process still does comes to nothing, because its Stack is dead.
type Host struct {
	net  *Net
	name string
	hash uint64

	// Under Net.mu:
	addr  netip.Addr
	stack *Stack
	dark  bool // without power: it does not even refuse

	pace pace
}

// pace is how fast a host gets at what has arrived for it.
type pace struct {
	mu     sync.Mutex
	paused bool
	thaw   chan struct{} // closed by Resume; nil while the host runs
	slow   time.Duration // work for each delivery
	free   time.Time     // when it is done with the last one
	bytes  Traffic
}

// Traffic counts what a host has sent.
type Traffic struct {
	Packets, PacketBytes uint64 // datagrams
	GossipBytes          uint64 // on streams that began with 244, as memberlist's do
	MeshBytes            uint64 // on other streams
	GossipStreams        uint64 // streams of gossip that it opened
}

// Name is the host's name.
func (h *Host) Name() string { return h.name }

// Addr is the host's address.
func (h *Host) Addr() netip.Addr {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return h.addr
}

// Traffic gives what the host has sent so far.
func (h *Host) Traffic() Traffic {
	h.pace.mu.Lock()
	defer h.pace.mu.Unlock()
	return h.pace.bytes
}

// Running tells whether a process runs on the host.
func (h *Host) Running() bool {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return h.runningLocked()
}

func (h *Host) runningLocked() bool { return h.stack != nil }

// Boot starts a process on the host and gives its network. A process that still
// runs is killed before.
func (h *Host) Boot() *Stack {
	h.Kill()
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.dark = false
	s := &Stack{
		host: h, listeners: map[uint16]*listener{}, packets: map[uint16]*packetConn{}, conns: map[*conn]struct{}{},
		port: firstEphemeral, addr: h.addr,
	}
	h.stack = s
	h.net.noteLocked(EventHost, h.name, "boot", 0, nil)
	h.net.retryLocked()
	return s
}

// Move gives the host another address, while no process runs on it.
func (h *Host) Move(addr netip.Addr) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if other := h.net.byAddr[addr]; other != nil && other != h || h.stack != nil || !addr.IsValid() {
		panic("simnet: move of a running host, or to a taken address")
	}
	h.addr = addr
	h.net.byAddr[addr] = h
}

// Kill ends the process: its streams are reset, its packets find nobody.
func (h *Host) Kill() { h.end(false) }

// PowerOff ends the machine: nobody hears of it.
func (h *Host) PowerOff() { h.end(true) }

func (h *Host) end(dark bool) {
	h.net.mu.Lock()
	s := h.stack
	h.stack = nil
	h.dark = h.dark || dark
	if s != nil {
		kind := "kill"
		if dark {
			kind = "power off"
		}
		h.net.noteLocked(EventHost, h.name, kind, 0, nil)
	}
	h.net.mu.Unlock()
	if s != nil {
		s.end(!dark)
	}
	h.Resume() // after the end: a process that was frozen does nothing more
}

// Pause freezes the process at its next use of the network, until Resume.
func (h *Host) Pause() { h.setPaused(true, "pause") }

// Resume lets a paused process go on.
func (h *Host) Resume() { h.setPaused(false, "resume") }

// Paused tells whether the host is paused.
func (h *Host) Paused() bool {
	h.pace.mu.Lock()
	defer h.pace.mu.Unlock()
	return h.pace.paused
}

func (h *Host) setPaused(paused bool, what string) {
	h.pace.mu.Lock()
	changed := h.pace.paused != paused
	h.pace.paused = paused
	switch {
	case changed && paused:
		h.pace.thaw = make(chan struct{})
	case changed:
		close(h.pace.thaw)
		h.pace.thaw = nil
	}
	h.pace.mu.Unlock()
	if !changed {
		return
	}
	h.net.mu.Lock()
	h.net.noteLocked(EventHost, h.name, what, 0, nil)
	var doors []*door
	if h.stack != nil {
		doors = h.stack.doorsLocked()
	}
	h.net.mu.Unlock()
	for _, d := range doors {
		d.wake()
	}
}

// SetSlow makes the host work for so long on each packet and segment that it
// takes in; 0 makes it as fast as the others.
func (h *Host) SetSlow(d time.Duration) {
	h.pace.mu.Lock()
	defer h.pace.mu.Unlock()
	h.pace.slow = d
}

// Work is what a process does before something that takes it time: it waits while
// the host is frozen, and as long as a slow host takes.
func (h *Host) Work() {
	h.awaitThaw()
	if slow := h.Slow(); slow > 0 {
		time.Sleep(slow)
	}
}

// awaitThaw waits while the host is frozen, whatever else happens: a frozen process
// notices nothing.
func (h *Host) awaitThaw() {
	for {
		h.pace.mu.Lock()
		thaw := h.pace.thaw
		h.pace.mu.Unlock()
		if thaw == nil {
			return
		}
		<-thaw
	}
}

// Slow tells how long the host works on each delivery.
func (h *Host) Slow() time.Duration {
	h.pace.mu.Lock()
	defer h.pace.mu.Unlock()
	return h.pace.slow
}

// stopped tells whether the host is frozen.
func (h *Host) stopped() bool {
	h.pace.mu.Lock()
	defer h.pace.mu.Unlock()
	return h.pace.paused
}

// admit tells whether the host gets at a delivery now and, if not, when to look
// again; zero means at the next wake.
func (h *Host) admit(now time.Time) (ok bool, again time.Time) {
	h.pace.mu.Lock()
	defer h.pace.mu.Unlock()
	switch {
	case h.pace.paused:
		return false, time.Time{}
	case h.pace.free.After(now):
		return false, h.pace.free
	}
	if h.pace.slow > 0 {
		h.pace.free = now.Add(h.pace.slow)
	}
	return true, time.Time{}
}

// count adds to what the host has sent.
func (h *Host) count(add func(*Traffic)) {
	h.pace.mu.Lock()
	defer h.pace.mu.Unlock()
	add(&h.pace.bytes)
}

// firstEphemeral is where ports for streams that go out begin.
const firstEphemeral = 32768

// Stack is the network of one process; it implements transport.Network.
//
// Invariant: once dead, it stays so, has no sockets, and everything on it fails
// with net.ErrClosed. All fields are under Net.mu.
type Stack struct {
	host      *Host
	dead      bool
	listeners map[uint16]*listener
	packets   map[uint16]*packetConn
	conns     map[*conn]struct{}
	opened    []*conn // in the order of opening; some may be closed
	port      uint16  // the next to hand out
	addr      netip.Addr
	dark      bool // it ended with its machine's power
}

// Host is where the process runs.
func (s *Stack) Host() *Host { return s.host }

// end closes all sockets of a process; polite says that the kernel lives and
// tells the other ends.
func (s *Stack) end(polite bool) {
	s.host.net.mu.Lock()
	s.dead, s.dark = true, !polite
	listeners, packets, conns := s.listeners, s.packets, s.conns
	s.listeners, s.packets, s.conns = nil, nil, nil
	opened := s.opened
	s.opened = nil
	s.host.net.mu.Unlock()
	for _, l := range listeners {
		l.shut(polite)
	}
	for _, p := range packets {
		p.shut()
	}
	for _, c := range opened {
		if _, open := conns[c]; open {
			c.abandon(polite)
		}
	}
}

// doorsLocked gives where the process's goroutines may wait.
func (s *Stack) doorsLocked() []*door {
	var doors []*door
	for _, l := range s.listeners {
		doors = append(doors, &l.door)
	}
	for _, p := range s.packets {
		doors = append(doors, &p.door)
	}
	for c := range s.conns {
		doors = append(doors, &c.in.door, &c.out.door)
	}
	return doors
}

// freePortLocked gives a port that nothing uses.
func (s *Stack) freePortLocked() uint16 {
	for {
		port := s.port
		if s.port++; s.port < firstEphemeral {
			s.port = firstEphemeral
		}
		if s.listeners[port] == nil && s.packets[port] == nil {
			return port
		}
	}
}

// keepLocked remembers a stream, and forgets those that were closed.
func (s *Stack) keepLocked(c *conn) {
	s.conns[c] = struct{}{}
	if len(s.opened) > 64 && len(s.opened) > 2*len(s.conns) {
		s.opened = slices.DeleteFunc(s.opened, func(c *conn) bool { _, open := s.conns[c]; return !open })
	}
	s.opened = append(s.opened, c)
}
