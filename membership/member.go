package membership

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Health is what the cluster thinks of a member.
type Health uint8

// The healths, with the numbers that memberlist uses on the wire.
const (
	HealthAlive   Health = iota // it answers
	HealthSuspect               // it did not answer a probe and has yet to refute that
	HealthDead                  // it did not refute the suspicion in time
	HealthLeft                  // it said that it leaves
)

var healthNames = [...]string{"alive", "suspect", "dead", "left"}

// String gives "alive", "suspect", "dead" or "left".
func (h Health) String() string {
	if int(h) < len(healthNames) {
		return healthNames[h]
	}
	return fmt.Sprintf("health(%d)", uint8(h))
}

// MarshalText implements encoding.TextMarshaler.
func (h Health) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// Member is one process of the cluster as this node knows it.
type Member struct {
	Name   string
	Addr   netip.AddrPort // UDP and TCP
	Zone   string
	Weight float64
	State  State  // what the member says about itself
	Boot   uint64 // another boot under the same name is another process
	// Health is exact in what Cluster.Members returns. In a Snapshot, which
	// holds those who are alive or suspect, it is always HealthAlive.
	Health Health
	// Incarnation counts the member's refutations and updates. It is 0 in a
	// Snapshot.
	Incarnation uint32
	Protocol    uint16
	Params      TableParams
	// Down are the services that the member says it cannot serve now.
	Down Services
	// Since is when this node learned of this process or, of a member that is
	// dead or left, of its end; zero if it does not remember.
	Since time.Time
}

// Snapshot is the live members at one moment, this node included until it has
// left. It is immutable: nobody may write to it.
type Snapshot struct {
	// Version counts the snapshots of one Cluster, from 1. It is 0 before
	// Start.
	Version uint64
	// Self is this node's name.
	Self string
	// Members are sorted by name, without duplicates.
	Members []Member
	// Digest identifies who the members are and what they say: equal members, boot ids
	// and addresses included, have equal digests on every node, whatever the order in
	// which the node heard of them. A table's fingerprint knows nothing of boots: it is
	// the same before and after a restart, and Digest is not. Different members have
	// equal digests with a probability of about 2^-64.
	Digest uint64
}

// Find gives the member of a name, and whether there is one.
func (s *Snapshot) Find(name string) (Member, bool) {
	i, ok := slices.BinarySearchFunc(s.Members, name, func(m Member, name string) int {
		return strings.Compare(m.Name, name)
	})
	if !ok {
		return Member{}, false
	}
	return s.Members[i], true
}

// Names gives the names of the members, sorted, in a new slice.
func (s *Snapshot) Names() []string {
	names := make([]string, len(s.Members))
	for i, m := range s.Members {
		names[i] = m.Name
	}
	return names
}

// fnvOffset and fnvPrime are those of FNV-1a with 64 bits.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// digest returns a hash of all that the member says, and of its name and address: of
// everything but what the node that asks thinks of it.
func (m *Member) digest() uint64 {
	h := uint64(fnvOffset)
	for _, text := range [...]string{m.Name, m.Zone, string(m.Down)} {
		for i := range len(text) {
			h = (h ^ uint64(text[i])) * fnvPrime
		}
		h = (h ^ 0xff) * fnvPrime // no text holds it: where one ends counts
	}
	addr := m.Addr.Addr().As16()
	for _, b := range addr {
		h = (h ^ uint64(b)) * fnvPrime
	}
	numbers := [...]uint64{
		uint64(m.Addr.Port()), math.Float64bits(m.Weight), uint64(m.State), m.Boot, uint64(m.Protocol),
		uint64(m.Params.Partitions), uint64(m.Params.SlackPermille),
	}
	for _, n := range numbers {
		h = (h ^ n) * fnvPrime
		h ^= h >> 32 // products carry upwards only
	}
	return h
}
