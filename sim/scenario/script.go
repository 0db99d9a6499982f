package scenario

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Kind is what a fault can be.
type Kind struct {
	Name    string
	Meaning string
	nodes   bool // it happens to nodes
	links   bool // it happens to links, which end at To
	forAll  bool // For may be given
}

// Kinds lists what the field do of a fault can be.
func Kinds() []Kind {
	return []Kind{
		{"crash", "kill processes; for: start them again after that time", true, false, true},
		{"power-off", "end machines without a word; for: start them again after that time", true, false, true},
		{"restart", "kill processes and start them again at once", true, false, false},
		{"move", "kill processes and start them again at another address", true, false, false},
		{"stop", "let nodes leave gracefully; for: start them again after that time", true, false, true},
		{"pause", "freeze processes for a time", true, false, true},
		{"slow", "let nodes work that long on each packet and call", true, false, true},
		{"add", "start count new nodes, each after the other", false, false, false},
		{"impostor", "start another process under a node's name, which must be refused", true, false, false},
		{"partition", "cut nodes off from to (all others), both ways", true, true, true},
		{"isolate", "cut each of the nodes off from everybody", true, false, true},
		{"cut", "let nothing pass from nodes to to, and back unless one-way", true, true, true},
		{"link", "make links between nodes and to what link says", true, true, true},
		{"reset", "reset the connections between nodes and to", true, true, false},
		{"half-open", "let the connections between nodes and to carry nothing any more", true, true, false},
	}
}

func kindOf(name string) (Kind, bool) {
	for _, k := range Kinds() {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

// act is one thing that happens.
type act struct {
	at, until time.Duration // until 0: for good, or over at once
	do        string
	nodes, to []int
	fault     *Fault
}

// script gives what happens in order, with nodes resolved. What is random is drawn
// from the seed.
func (s *Scenario) script() ([]act, error) {
	var acts []act
	for i := range s.Timeline {
		f := &s.Timeline[i]
		some, err := s.actsOf(f, rand.New(rand.NewPCG(s.Seed, uint64(i))))
		if err != nil {
			return nil, fmt.Errorf("timeline[%d] (%s at %v): %w", i, f.Do, f.At, err)
		}
		acts = append(acts, some...)
	}
	slices.SortStableFunc(acts, func(a, b act) int { return int(a.at - b.at) })
	return acts, nil
}

// maxActs bounds what one fault comes to.
const maxActs = 10_000

func (s *Scenario) actsOf(f *Fault, rnd *rand.Rand) ([]act, error) {
	k, ok := kindOf(f.Do)
	switch {
	case !ok:
		return nil, fmt.Errorf("unknown fault %q", f.Do)
	case k.nodes && len(f.Nodes) == 0:
		return nil, fmt.Errorf("nodes: want to whom")
	case f.For != 0 && !k.forAll:
		return nil, fmt.Errorf("for: %s is over at once", f.Do)
	case f.Do == "slow" && f.Work == 0:
		return nil, fmt.Errorf("work: want how long a slow node takes")
	case f.Do == "add" && f.Count < 1:
		return nil, fmt.Errorf("count: want how many nodes")
	case f.At.D() > s.Duration.D():
		return nil, fmt.Errorf("at: after the end of the run at %v", s.Duration)
	case f.Times > 1 && f.Every <= 0:
		return nil, fmt.Errorf("every: want the time between the %d times", f.Times)
	}
	if err := f.Link.check("link"); err != nil {
		return nil, err
	}
	total := s.Nodes
	nodes, err := f.Nodes.resolve(total, s.zoneOf, rnd)
	if err != nil {
		return nil, err
	}
	to, err := f.To.resolve(total, s.zoneOf, rnd)
	if err != nil {
		return nil, err
	}
	if k.links && len(to) == 0 {
		to = without(total, nodes)
	}
	var acts []act
	for time := range max(f.Times, 1) {
		base := f.At.D() + f.Every.D()*duration(time)
		switch {
		case f.Do == "add":
			for k := range f.Count {
				acts = append(acts, act{at: base + f.Each.D()*duration(k), do: f.Do, fault: f})
			}
		case f.Each > 0:
			for k, n := range nodes {
				acts = append(acts, newAct(base+f.Each.D()*duration(k), f, []int{n}, to))
			}
		default:
			acts = append(acts, newAct(base, f, nodes, to))
		}
		if len(acts) > maxActs {
			return nil, fmt.Errorf("more than %d events", maxActs)
		}
	}
	return acts, nil
}

func duration(n int) time.Duration { return time.Duration(n) }

func newAct(at time.Duration, f *Fault, nodes, to []int) act {
	a := act{at: at, do: f.Do, nodes: nodes, to: to, fault: f}
	if f.For > 0 {
		a.until = at + f.For.D()
	}
	return a
}

func (s *Scenario) zoneOf(i int) string {
	if len(s.Zones) == 0 {
		return ""
	}
	return s.Zones[i%len(s.Zones)]
}

// without gives all of count indexes but some.
func without(count int, some []int) []int {
	var rest []int
	for i := range count {
		if !slices.Contains(some, i) {
			rest = append(rest, i)
		}
	}
	return rest
}
