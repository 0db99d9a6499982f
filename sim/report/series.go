package report

import (
	"math"

	"github.com/meshnode/meshnode/sim/scenario"
)

// plots gives all plots of a page.
func plots(f *frame, r *scenario.Result) []*plot {
	var all []*plot
	for _, g := range []graph{
		members(&r.Series), availability(&r.Series), latency(&r.Series),
		moves(&r.Series), tables(&r.Series), gossip(&r.Series),
	} {
		all = append(all, f.draw(g))
	}
	return all
}

func members(s *scenario.Series) graph {
	return graph{
		title: "Members seen", axis: "members", empty: "no samples", unit: threeOrWhole, whole: true,
		note: "by the live nodes, against the processes that run",
		low:  &curve{"fewest seen", "c1", numbers(s.SeenMin)},
		high: &curve{"most seen", "c1", numbers(s.SeenMax)},
		curves: []curve{
			{"mean seen", "c1", floats(s.SeenMean)},
			{"processes that run", "c2 dashed", numbers(s.Live)},
		},
	}
}

func availability(s *scenario.Series) graph {
	answered := numbers(s.Calls)
	for i, calls := range answered {
		if i >= len(s.Failed) || !(calls > 0) {
			answered[i] = math.NaN()
			continue
		}
		answered[i] = 100 * (calls - float64(s.Failed[i])) / calls
	}
	g := graph{
		title: "Availability", axis: "% of calls answered", empty: "no calls",
		unit: func(v float64) string { return percent(v / 100) },
		note: "of the calls that ended in each interval", lo: lowestPercent,
		curves: []curve{{"answered", "c1", answered}},
	}
	if least, _ := extent(g.curves, false); lowestPercent(least) > 0 {
		g.note += "; the axis does not begin at 0"
	}
	return g
}

// lowestPercent is where an axis of per cents begins, so that a small dip is seen.
func lowestPercent(least float64) float64 {
	switch {
	case least >= 99:
		return 99
	case least >= 90:
		return 90
	case least >= 50:
		return 50
	}
	return 0
}

func latency(s *scenario.Series) graph {
	return graph{
		title: "Latency", axis: "ms, logarithmic", empty: "no calls were answered", unit: millis, log: true,
		note: "of the calls that were answered in each interval",
		curves: []curve{
			{"p50", "c1", positive(s.P50Ms)},
			{"p99", "c2 dashed", positive(s.P99Ms)},
			{"max", "c3 dotted", positive(s.MaxMs)},
		},
	}
}

func moves(s *scenario.Series) graph {
	return graph{
		title: "Ownership moves", axis: "partitions", empty: "no samples", unit: count, bars: true, whole: true,
		note:   "partitions whose owner changed in each interval",
		curves: []curve{{"moved", "c1", numbers(s.Moved)}},
	}
}

func tables(s *scenario.Series) graph {
	return graph{
		title: "Agreement", axis: "different tables", empty: "no samples", unit: count, whole: true,
		note:   "ownership tables among the live nodes; with 1, all agree",
		curves: []curve{{"tables", "c1", numbers(s.Tables)}},
	}
}

func gossip(s *scenario.Series) graph {
	return graph{
		title: "Gossip traffic", axis: "bytes/s per node", empty: "no samples", unit: bytesPerS,
		note:   "sent by each live node",
		curves: []curve{{"sent", "c1", floats(s.GossipPerSec)}},
	}
}

// threeOrWhole writes whole numbers as such.
func threeOrWhole(v float64) string {
	if v == math.Trunc(v) {
		return count(v)
	}
	return threeDigits(v)
}

func numbers(ints []int) []float64 {
	all := make([]float64, len(ints))
	for i, n := range ints {
		all[i] = drawable(float64(n))
	}
	return all
}

func floats(values []float64) []float64 {
	all := make([]float64, len(values))
	for i, v := range values {
		all[i] = drawable(v)
	}
	return all
}

// positive makes gaps of zeros, which stand for intervals without a value.
func positive(values []float64) []float64 {
	all := floats(values)
	for i, v := range all {
		if v < 1e-9 {
			all[i] = math.NaN()
		}
	}
	return all
}
