package transport

import (
	"net/netip"
	"time"

	"github.com/meshnode/meshnode/internal/simnet"
)

// newSimNet is the simulator's network on the one host that all of a lab is on. Each
// segment takes some tenths of a millisecond, as between two machines.
func newSimNet() Network {
	n := simnet.New(simnet.Config{Seed: 1})
	n.AddRule(simnet.Rule{ // by default a host is next to itself
		Match: func(from, to *simnet.Host) bool { return true },
		Apply: func(l *simnet.Link) { l.Latency = simnet.Uniform(50*time.Microsecond, 300*time.Microsecond) },
	})
	return n.Host("lab", netip.AddrFrom4([4]byte{127, 0, 0, 1})).Boot()
}
