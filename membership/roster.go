package membership

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// How long a member that is gone is remembered: the dead, so that a partition
// that lasts hours still heals, and those who left, so that their end has a
// time.
const (
	rememberDead = 24 * time.Hour
	rememberLeft = 10 * time.Minute
)

// past is a member that is no longer live.
type past struct {
	Member      // Since is the time of its end
	judged bool // Health is known: memberlist's callback does not tell it
}

// roster is what memberlist's callbacks have told: a copy of its member list
// that can be read without its locks.
//
// Invariant: sorted holds what live holds, by name; what a *Member points to never
// changes; digest is the sum of the digests of those in live.
type roster struct {
	mu     sync.Mutex
	live   map[string]*Member
	sorted []*Member
	past   map[string]past
	digest uint64
}

func newRoster() *roster {
	return &roster{live: map[string]*Member{}, past: map[string]past{}}
}

// toMember copies what memberlist knows of a node. Metadata that cannot be
// decoded never get here: NotifyAlive refuses them.
func toMember(n *memberlist.Node) (Member, error) {
	meta, err := DecodeMeta(n.Meta)
	if err != nil {
		return Member{}, err
	}
	return newMember(n.Name, nodeAddr(n), meta), nil
}

func newMember(name string, addr netip.AddrPort, meta Meta) Member {
	return Member{
		Name: name, Addr: addr, Zone: meta.Zone, Weight: meta.Weight, State: meta.State,
		Boot: meta.Boot, Protocol: meta.Protocol, Params: meta.Params, Down: meta.Down,
	}
}

func nodeAddr(n *memberlist.Node) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(n.Addr)
	return netip.AddrPortFrom(ip.Unmap(), n.Port)
}

// set notes a live member: new, or with other metadata or another address.
func (r *roster) set(m Member, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.Since = now
	at, ok := r.findLocked(m.Name)
	if !ok {
		r.sorted = slices.Insert(r.sorted, at, &m)
	} else {
		if old := r.sorted[at]; old.Boot == m.Boot {
			m.Since = old.Since
		}
		r.digest -= r.sorted[at].digest()
		r.sorted[at] = &m
	}
	r.digest += m.digest()
	r.live[m.Name] = &m
	delete(r.past, m.Name)
}

// findLocked tells where in sorted a name stands or would stand.
func (r *roster) findLocked(name string) (at int, ok bool) {
	return slices.BinarySearchFunc(r.sorted, name, func(m *Member, name string) int { return strings.Compare(m.Name, name) })
}

// end notes that a member is dead or left; memberlist doesn't say which.
func (r *roster) end(name string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.findLocked(name)
	if !ok {
		return
	}
	m := *r.sorted[at]
	r.digest -= m.digest()
	r.sorted = slices.Delete(r.sorted, at, at+1)
	delete(r.live, name)
	m.Since, m.Health = now, HealthDead
	r.past[name] = past{Member: m}
}

// snapshot returns the live members sorted by name, and the digest of Snapshot.
func (r *roster) snapshot() (members []Member, digest uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	members = make([]Member, len(r.sorted))
	for i, m := range r.sorted {
		members[i] = *m
	}
	return members, r.digest
}

// members returns the live members sorted by name.
func (r *roster) members() []Member {
	members, _ := r.snapshot()
	return members
}

func sortMembers(members []Member) {
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
}

// get gives the live member of a name.
func (r *roster) get(name string) (Member, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m, ok := r.live[name]; ok {
		return *m, true
	}
	return Member{}, false
}

// knows tells whether the roster has exactly this of a member, gone or not.
func (r *roster) knows(name string, meta Meta) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.live[name]
	if m == nil {
		gone := r.past[name].Member
		m = &gone
	}
	return m.Boot == meta.Boot && m.State == meta.State
}

// others tells how many live members there are besides self.
func (r *roster) others(self string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.live)
	if _, ok := r.live[self]; ok {
		n--
	}
	return n
}

// livesAt reports whether a live member has this address.
func (r *roster) livesAt(addr netip.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.live {
		if m.Addr.Addr() == addr {
			return true
		}
	}
	return false
}

// addrs gives the addresses of the live members.
func (r *roster) addrs() map[netip.AddrPort]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	set := make(map[netip.AddrPort]bool, len(r.live))
	for _, m := range r.live {
		set[m.Addr] = true
	}
	return set
}

// met tells whether a member of this name is live, or was.
func (r *roster) met(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.live[name]; ok {
		return true
	}
	_, ok := r.past[name]
	return ok
}

// since gives when a member became what it is.
func (r *roster) since(name string) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m, ok := r.live[name]; ok {
		return m.Since
	}
	return r.past[name].Since
}

// judge notes who of the gone is dead and who left, as memberlist has it. Who
// it has forgotten already is taken for dead.
func (r *roster) judge(states []nodeState) {
	known := make(map[string]Health, len(states))
	for i := range states {
		known[states[i].Name] = states[i].Health
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, p := range r.past {
		h, ok := known[name]
		if p.judged || ok && h != HealthDead && h != HealthLeft {
			continue
		}
		if ok {
			p.Health = h
		}
		p.judged = true
		r.past[name] = p
	}
}

// prune forgets those whose end is long ago.
func (r *roster) prune(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, p := range r.past {
		keep := rememberDead
		if p.Health == HealthLeft || p.State == StateDraining {
			keep = rememberLeft
		}
		if now.Sub(p.Since) > keep {
			delete(r.past, name)
		}
	}
}

// unjudged tells whether judge has something to do.
func (r *roster) unjudged() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.past {
		if !p.judged {
			return true
		}
	}
	return false
}

// lost gives the members that disappeared without a word, sorted by name.
func (r *roster) lost() []Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lost []Member
	for _, p := range r.past {
		if p.Health == HealthDead && p.State != StateDraining {
			lost = append(lost, p.Member)
		}
	}
	sortMembers(lost)
	return lost
}

// forget drops a member that is gone for good.
func (r *roster) forget(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.past, name)
}
