package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/meshnode/meshnode/sim/scenario"
)

// better tells which way a figure should go.
type better int8

const (
	neither better = iota
	less
	more
)

// figure is one number of a summary. The list that figures returns has the same
// names in the same order for every result, so that two lists compare line by
// line.
type figure struct {
	name   string
	value  float64
	none   bool // the run has no such number
	unit   unit
	note   string // what else is known about it, for people
	better better
	minor  bool // compared, but not worth a line of a summary
}

// text gives the number as people read it.
func (f figure) text() string {
	if f.none {
		return "–"
	}
	return f.unit(f.value)
}

// figures gives what a run came to.
func figures(r *scenario.Result) []figure {
	s := &r.Summary
	calls := float64(s.Calls)
	failed := (1 - s.Availability) * calls
	silent := s.Calls == 0 || s.Calls == uint64(failed+0.5) // nothing was answered
	all := []figure{
		{name: "first agreement", value: s.JoinS, unit: seconds, better: less, note: "from the start until all nodes had one table"},
	}
	all = append(all, spread("detection time", s.DetectionS, "from a crash until no live node lists the dead one", "crash", "crashes")...)
	all = append(all, spread("first to detect", s.FirstDetectionS, "until the first node does not", "crash", "crashes")...)
	all = append(all, figure{
		name: "false positives", value: float64(s.FalsePositives), unit: count, better: less,
		note: "live, reachable members taken for dead",
	})
	all = append(all, spread("convergence", s.ConvergenceS, "from the end of a fault until all agree", "fault", "faults")...)
	all = append(all,
		figure{name: "availability", value: s.Availability, none: s.Calls == 0, unit: percent, note: "calls that were answered"},
		figure{name: "calls", value: calls, unit: count, note: count(failed) + " failed"},
		figure{name: "failed calls", value: 1 - s.Availability, none: s.Calls == 0, unit: share, better: less, minor: true},
		figure{name: "latency p50", value: s.P50Ms, none: silent, unit: millis, better: less},
		figure{name: "latency p99", value: s.P99Ms, none: silent, unit: millis, better: less},
		figure{name: "latency max", value: s.MaxMs, none: silent, unit: millis, better: less},
		figure{name: "failovers", value: float64(s.Failovers), unit: count, note: "calls served in an owner's place"},
		figure{
			name: "moved partitions", value: float64(s.MovedPartitions), unit: count, better: less,
			note: fmt.Sprintf("%s had to move; %s of the key space", count(float64(s.MovedRequired)), plural(s.Partitions, "partition", "partitions")),
		},
		figure{name: "needless moves", value: float64(s.MovedPartitions) - float64(s.MovedRequired), unit: count, better: less, minor: true},
		figure{name: "table changes", value: float64(s.TableChanges), unit: count, note: "different tables that all agreed on"},
		figure{
			name: "gossip per node", value: s.GossipBytesPerNode, unit: bytesPerS, better: less,
			note: "in " + perS(s.PacketsPerNode) + " packets",
		},
		figure{name: "packets per node", value: s.PacketsPerNode, unit: perS, better: less, minor: true},
		figure{name: "calls' bytes per node", value: s.MeshBytesPerNode, unit: bytesPerS, better: less},
		figure{name: "goroutines", value: float64(s.Goroutines), unit: count, better: less, note: "most at a time"},
		figure{name: "heap", value: s.HeapMiB, unit: mebibytes, better: less, note: "most at a time"},
		figure{name: "wall time", value: r.WallS, unit: seconds, minor: true},
		figure{name: "virtual/wall", value: r.Ratio, unit: times, better: more, minor: true},
	)
	return all
}

// spread gives the middle of some values and, for comparing, the most.
func spread(name string, s *scenario.Spread, meaning, one, many string) []figure {
	middle := figure{name: name, unit: seconds, better: less, none: true, note: meaning}
	if s == nil || s.N == 0 {
		return []figure{middle, {name: name + ", max", none: true, minor: true}}
	}
	middle.none, middle.value = false, s.P50
	if s.N > 1 {
		middle.note = fmt.Sprintf("%s to %s, %s", seconds(s.Min), seconds(s.Max), plural(s.N, one, many))
	}
	return []figure{middle, {name: name + ", max", value: s.Max, unit: seconds, better: less, minor: true}}
}

// codeCount is how many calls ended with a code.
type codeCount struct {
	Code  string
	Calls int
}

// codes gives the calls by code, the most frequent first.
func codes(r *scenario.Result) []codeCount {
	var all []codeCount
	for _, code := range slices.Sorted(maps.Keys(r.Summary.ByCode)) {
		all = append(all, codeCount{code, r.Summary.ByCode[code]})
	}
	slices.SortStableFunc(all, func(a, b codeCount) int { return cmp.Compare(b.Calls, a.Calls) })
	return all
}

// checks tells how often all invariants were looked at, how many held, and which
// were never looked at.
func checks(r *scenario.Result) (looked uint64, held int, never []string) {
	for _, c := range r.Checked {
		looked += c.Times
		if c.Times == 0 {
			never = append(never, c.Invariant)
			continue
		}
		if !slices.ContainsFunc(r.Broken, func(b scenario.Broken) bool { return b.Invariant == c.Invariant }) {
			held++
		}
	}
	return looked, held, never
}

// sure tells that nothing broke and that each invariant was looked at.
func sure(r *scenario.Result) bool {
	_, held, _ := checks(r)
	return r.Held() && held > 0 && held == len(r.Checked)
}

// verdict says in a few words how the run ended.
func verdict(r *scenario.Result) string {
	looked, held, never := checks(r)
	checked := fmt.Sprintf("checked %s", plural(looked, "time", "times"))
	switch {
	case !r.Held():
		return fmt.Sprintf("%s broken, %s held (%s)", plural(len(r.Broken), "invariant", "invariants"), count(float64(held)), checked)
	case len(r.Checked) == 0:
		return "no invariant was checked"
	case len(never) > 0:
		return fmt.Sprintf("all %s held that this run could check (%s); nothing to check for: %s",
			plural(held, "invariant", "invariants"), checked, list(never, 20))
	case held == 1:
		return fmt.Sprintf("the one invariant held (%s)", checked)
	}
	return fmt.Sprintf("all %d invariants held (%s)", held, checked)
}
