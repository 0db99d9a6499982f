package balance

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Balancer picks one node of a set.
type Balancer interface {
	// Name is what ByName knows it by.
	Name() string
	// Pick gives the index of a node of s, which has one at least. turn grows by
	// one with each pick of the same caller; now is the time since any fixed
	// moment.
	Pick(s *Set, turn uint64, now time.Duration) int
}

// ErrUnknown tells that no balancer has a name; the message lists those that
// exist.
var ErrUnknown = errors.New("balance: no such balancer")

// all gives one balancer of each kind, the default first.
func all() []Balancer {
	return []Balancer{RoundRobin{}, Random{}, Weighted{}, LeastLoaded{}, ZoneFirst{}, Bounded{}}
}

// Names gives the names of all balancers, the default first.
func Names() []string {
	var names []string
	for _, b := range all() {
		names = append(names, b.Name())
	}
	return names
}

// ByName gives the balancer of a name; the empty name is round-robin's. The
// error is ErrUnknown.
func ByName(name string) (Balancer, error) {
	if name == "" {
		return RoundRobin{}, nil
	}
	for _, b := range all() {
		if b.Name() == name {
			return b, nil
		}
	}
	return nil, fmt.Errorf("%w: %q; there are %s", ErrUnknown, name, strings.Join(Names(), ", "))
}

// mix is a bijection that spreads consecutive numbers over all bits
// (splitmix64's finaliser; Steele, Lea and Flood, 2014).
func mix(x uint64) uint64 {
	x += golden
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// golden is 2^64 over the golden ratio.
const golden = 0x9e3779b97f4a7c15
