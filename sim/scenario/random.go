package scenario

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/meshnode/meshnode/internal/simnet"
	"github.com/meshnode/meshnode/membership"
)

// Random gives a scenario that is drawn from a seed: a small mesh under load, with
// one to eight faults of any kind. What it draws is such that all invariants should
// hold: whatever lasts ends before the script does, but that in one of three a node
// is gone for good.
func Random(seed uint64) *Scenario {
	rnd := rand.New(rand.NewPCG(seed, 0x66757a7a))
	s := &Scenario{
		Name: fmt.Sprintf("random-%d", seed), Seed: seed, Nodes: 3 + rnd.IntN(6), Profile: membership.Local,
		Duration: Duration(time.Duration(20+rnd.IntN(20)) * time.Second), Partitions: 1024,
		Workload: Workload{
			Rate: 100 + 100*float64(rnd.IntN(3)), Writes: 0.5, Keys: Keys{Count: 200},
			Work: Dist{simnet.Uniform(0, time.Duration(1+rnd.IntN(20))*time.Millisecond)},
		},
	}
	if rnd.IntN(3) == 0 {
		s.Profile = membership.LAN
		s.Duration *= 2
	}
	if rnd.IntN(4) == 0 {
		s.Workload.Clients = 1 + rnd.IntN(2)
	}
	if rnd.IntN(4) == 0 {
		s.Link.Latency = Dist{simnet.Pareto(500*time.Microsecond, 2.5)}
	}
	if rnd.IntN(5) == 0 {
		s.Link.Loss, s.Link.Duplicate = 0.01, 0.01
		s.Link.Reorder, s.Link.Jitter = 0.05, Duration(5*time.Millisecond)
	}
	for range 1 + rnd.IntN(8) {
		s.Timeline = append(s.Timeline, s.randomFault(rnd))
	}
	if rnd.IntN(3) == 0 {
		at := time.Second + time.Duration(rnd.Int64N(int64(s.Duration.D()/2)))
		s.Timeline = append(s.Timeline, Fault{At: Duration(at.Round(time.Millisecond)), Do: "crash", Nodes: Nodes{fmt.Sprint(rnd.IntN(s.Nodes))}})
	}
	return s
}

// randomFault draws one fault, of which the end is before that of the script.
func (s *Scenario) randomFault(rnd *rand.Rand) Fault {
	span := s.Duration.D() * 3 / 4
	between := func(low, high time.Duration) Duration {
		return Duration((low + time.Duration(rnd.Int64N(int64(high-low)))).Round(time.Millisecond))
	}
	f := Fault{At: between(time.Second, span)}
	rest := s.Duration.D() - f.At.D()
	f.For = Duration(min(between(50*time.Millisecond, 12*time.Second).D(), rest*3/4).Round(time.Millisecond))
	one := func() Nodes { return Nodes{fmt.Sprint(rnd.IntN(s.Nodes))} }
	f.Nodes = one()
	switch kind := rnd.IntN(14); kind {
	case 0, 1:
		f.Do = "crash"
	case 2:
		f.Do = "power-off"
	case 3:
		f.Do, f.For = "restart", 0
	case 4:
		f.Do, f.For = "move", 0
	case 5:
		f.Do = "stop"
	case 6, 7:
		f.Do = "pause"
	case 8:
		f.Do, f.Work = "slow", between(time.Millisecond, 20*time.Millisecond)
	case 9:
		f.Do, f.Nodes = "partition", Nodes{fmt.Sprintf("0-%d", rnd.IntN(s.Nodes-1))}
	case 10:
		f.Do, f.To, f.OneWay = "cut", one(), rnd.IntN(2) == 0
	case 11:
		f.Do, f.Link = "link", Link{Loss: float64(1+rnd.IntN(5)) / 10, Latency: Dist{simnet.Pareto(2*time.Millisecond, 1.5)}}
	case 12:
		f.Do, f.For = "reset", 0
		if rnd.IntN(2) == 0 {
			f.Do = "half-open"
		}
	case 13:
		f.Do = "isolate"
		if rnd.IntN(3) == 0 {
			f.Do, f.For = "impostor", 0
		}
	}
	return f
}
