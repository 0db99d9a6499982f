package scenario

import (
	"context"
	"slices"
	"time"
)

// Runner runs a scenario, for Shrink: here, or in another process.
type Runner func(ctx context.Context, s *Scenario) (*Result, error)

// shrinkTries is how often a smaller scenario must break, and must each time:
// natively, runs with one seed differ in the order of what happens at one instant,
// and what is found is to break again.
const shrinkTries = 3

// Shrink makes a scenario that breaks an invariant smaller, as long as that still
// breaks: fewer faults first, then fewer nodes, less load, shorter faults and a
// shorter script. progress is told of each step; may be nil. It gives the smallest
// found when ctx ends.
func Shrink(ctx context.Context, s *Scenario, invariant string, run Runner, progress func(string)) *Scenario {
	best := s.clone()
	breaks := func(c *Scenario) bool {
		if c.Validate() != nil {
			return false
		}
		for range shrinkTries {
			r, err := run(ctx, c)
			if err != nil || !r.Broke(invariant) {
				return false
			}
		}
		return true
	}
	accept := func(c *Scenario, what string) bool {
		if ctx.Err() != nil || !breaks(c) {
			return false
		}
		best = c
		if progress != nil {
			progress(what)
		}
		return true
	}
	for smaller := true; smaller && ctx.Err() == nil; {
		smaller = shrinkFaults(&best, accept)
		for _, step := range shrinkSteps() {
			c := best.clone()
			if step.change(c) && accept(c, step.name) {
				smaller = true
			}
		}
	}
	return best
}

// shrinkFaults leaves out faults: halves, quarters, and so on down to single ones.
func shrinkFaults(best **Scenario, accept func(*Scenario, string) bool) (smaller bool) {
	for size := (len((*best).Timeline) + 1) / 2; size > 0; size /= 2 {
		for at := 0; at < len((*best).Timeline); {
			c := (*best).clone()
			c.Timeline = slices.Delete(c.Timeline, at, min(at+size, len(c.Timeline)))
			if accept(c, "fewer faults") {
				smaller = true
				continue
			}
			at += size
		}
	}
	return smaller
}

type shrinkStep struct {
	name   string
	change func(*Scenario) bool // false: there is nothing to change
}

func shrinkSteps() []shrinkStep {
	return []shrinkStep{
		{"no clients", func(s *Scenario) bool {
			had := s.Workload.Clients > 0
			s.Workload.Clients = 0
			return had
		}},
		{"perfect links", func(s *Scenario) bool {
			had := s.Link != Link{}
			s.Link = Link{}
			return had
		}},
		{"one node less", func(s *Scenario) bool {
			s.Nodes--
			return s.Nodes >= 2
		}},
		{"half the load", func(s *Scenario) bool {
			s.Workload.Rate = float64(int(s.Workload.Rate / 2))
			return s.Workload.Rate >= 10
		}},
		{"no load", func(s *Scenario) bool {
			had := s.Workload.Rate > 0
			s.Workload = Workload{}
			return had
		}},
		{"earlier", func(s *Scenario) bool {
			first := s.Duration
			for _, f := range s.Timeline {
				first = min(first, f.At)
			}
			if first < Duration(2*time.Second) {
				return false
			}
			by := first - Duration(time.Second)
			for i := range s.Timeline {
				s.Timeline[i].At -= by
			}
			s.Duration -= by
			return true
		}},
		{"shorter", func(s *Scenario) bool {
			last := Duration(time.Second)
			for _, f := range s.Timeline {
				last = max(last, f.At+f.For)
			}
			shorter := last + Duration(2*time.Second)
			less := shorter < s.Duration
			s.Duration = min(s.Duration, shorter)
			return less
		}},
	}
}

// clone gives a copy that shares nothing that changes.
func (s *Scenario) clone() *Scenario {
	c := *s
	c.Timeline = slices.Clone(s.Timeline)
	c.Links = slices.Clone(s.Links)
	return &c
}

// Broke tells whether an invariant broke.
func (r *Result) Broke(invariant string) bool {
	return slices.ContainsFunc(r.Broken, func(b Broken) bool { return b.Invariant == invariant })
}
