package transport

import (
	"container/list"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// maxStrangers bounds each set of strangers; memberReserve is what of it is kept
// for the addresses of members.
const (
	maxStrangers  = 1024
	memberReserve = 128
)

// ErrCrowded: the stream was closed to make room, because it was the one that had
// been silent for longest, of the address with most.
var ErrCrowded = errors.New("transport: closed to make room for others")

// CrowdedError says whose streams crowd a port. It is ErrCrowded too.
type CrowdedError struct {
	From  netip.Prefix // an address of IPv4, a /64 of IPv6
	Count int          // its streams
	All   int          // the streams of all strangers
}

// Error implements error.
func (e *CrowdedError) Error() string {
	from := "one address"
	switch {
	case e.From.IsSingleIP():
		from = e.From.Addr().String()
	case e.From.IsValid():
		from = e.From.String()
	}
	return fmt.Sprintf("%v: of %d streams that have not said who they are %d come from %s", ErrCrowded, e.All, e.Count, from)
}

// Unwrap returns ErrCrowded.
func (e *CrowdedError) Unwrap() error { return ErrCrowded }

// Strangers is a bounded set of streams whose peers have not said who they are. It
// turns nobody away: at the bound it closes the stream that has been silent for
// longest, of the address that has most. So a flood from some addresses displaces
// itself, however fast it comes again, and never those from others. The addresses
// of members have a part of the bound for themselves.
//
// It is safe for concurrent use.
//
// Invariant: all is the number of strangers in groups, at most limit; those of
// unknown addresses are at most limit - reserve. A stranger is in the list of its
// address until Leave, or until it was closed to make room.
type Strangers struct {
	limit, reserve int

	mu        sync.Mutex
	member    func(netip.Addr) bool // may be nil
	groups    map[netip.Prefix]*strangerGroup
	all       int
	ofMembers int    // those of members' addresses
	clock     uint64 // counts arrivals and signs of life
	closed    bool
}

// strangerGroup is the strangers of one address.
type strangerGroup struct {
	from  netip.Prefix
	known bool
	list  list.List // of *Stranger, silent for longest first
}

// Stranger is one of them.
type Stranger struct {
	set   *Strangers
	nc    net.Conn
	group *strangerGroup
	place *list.Element // nil: not in the set any more
	heard uint64
	out   *CrowdedError // closed to make room
}

// NewStrangers returns an empty set for limit streams. A part of these is kept for
// the addresses of which member reports that they are members'. It must not block,
// and nil knows none.
func NewStrangers(limit int, member func(netip.Addr) bool) *Strangers {
	return &Strangers{
		limit: limit, reserve: min(memberReserve, limit/4), member: member,
		groups: make(map[netip.Prefix]*strangerGroup),
	}
}

func (s *Strangers) setMember(member func(netip.Addr) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.member = member
}

// Admit adds a stream, and closes another one if there are too many. It returns nil
// once the set is closed.
func (s *Strangers) Admit(nc net.Conn) *Stranger {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	g := s.groupLocked(nc.RemoteAddr())
	var victim *Stranger
	if s.all >= s.limit || !g.known && s.all-s.ofMembers >= s.limit-s.reserve {
		victim = s.victimLocked()
		victim.out = &CrowdedError{From: victim.group.from, Count: victim.group.list.Len(), All: s.all}
		s.removeLocked(victim)
	}
	s.clock++
	p := &Stranger{set: s, nc: nc, group: g, heard: s.clock}
	s.groups[g.from] = g // the victim may have been its last
	p.place = g.list.PushBack(p)
	s.all++
	if g.known {
		s.ofMembers++
	}
	s.mu.Unlock()
	if victim != nil {
		cut(victim.nc)
	}
	return p
}

// cut closes a stream without a word, which could take its time. Others may be reading
// from it, so it looks at nothing that they change.
func cut(nc net.Conn) {
	if p, ok := nc.(*prefixed); ok {
		nc = p.Conn
	}
	if s, ok := nc.(*tlsStream); ok {
		nc = s.raw
	}
	_ = nc.Close()
}

// groupLocked returns the group of an address.
func (s *Strangers) groupLocked(remote net.Addr) *strangerGroup {
	addr := addrOf(remote)
	from := netip.PrefixFrom(addr, addr.BitLen())
	if g := s.groups[from]; g != nil {
		return g
	}
	known := s.member != nil && s.member(addr)
	if addr.Is6() && !known {
		from, _ = addr.Prefix(64)
		if g := s.groups[from]; g != nil {
			return g
		}
	}
	return &strangerGroup{from: from, known: known}
}

// addrOf returns the address of a stream's other end; the zero one if it has none.
func addrOf(remote net.Addr) netip.Addr {
	if tcp, ok := remote.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	if remote == nil {
		return netip.Addr{}
	}
	at, _ := netip.ParseAddrPort(remote.String())
	return at.Addr().Unmap().WithZone("")
}

// victimLocked returns whom to close: of the address that has most, whoever has been
// silent for longest. What is kept for members is not touched.
func (s *Strangers) victimLocked() *Stranger {
	var victim *Stranger
	most := 0
	for _, g := range s.groups {
		if g.known && (s.all < s.limit || s.ofMembers <= s.reserve) {
			continue
		}
		first := g.list.Front().Value.(*Stranger)
		if n := g.list.Len(); n > most || n == most && first.heard < victim.heard {
			victim, most = first, n
		}
	}
	return victim
}

func (s *Strangers) removeLocked(p *Stranger) {
	if p.place == nil {
		return
	}
	g := p.group
	g.list.Remove(p.place)
	p.place = nil
	s.all--
	if g.known {
		s.ofMembers--
	}
	if g.list.Len() == 0 {
		delete(s.groups, g.from)
	}
}

// Len is the number of streams.
func (s *Strangers) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

// Close closes all streams; none is admitted any more.
func (s *Strangers) Close() {
	s.mu.Lock()
	s.closed = true
	var open []net.Conn
	for _, g := range s.groups {
		for e := g.list.Front(); e != nil; e = e.Next() {
			open = append(open, e.Value.(*Stranger).nc)
		}
	}
	s.mu.Unlock()
	for _, nc := range open {
		_ = nc.Close()
	}
}

// Heard notes a sign of life.
func (p *Stranger) Heard() {
	s := p.set
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.place != nil {
		s.clock++
		p.heard = s.clock
		p.group.list.MoveToBack(p.place)
	}
}

// Leave takes the stream off. The error is Displaced's.
func (p *Stranger) Leave() error {
	p.set.mu.Lock()
	defer p.set.mu.Unlock()
	p.set.removeLocked(p)
	return p.displacedLocked()
}

// Displaced returns a *CrowdedError if the stream was closed to make room.
func (p *Stranger) Displaced() error {
	p.set.mu.Lock()
	defer p.set.mu.Unlock()
	return p.displacedLocked()
}

func (p *Stranger) displacedLocked() error {
	if p.out == nil {
		return nil
	}
	return p.out
}
