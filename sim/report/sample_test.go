package report_test

import (
	"math"
	"math/rand/v2"

	"github.com/meshnode/meshnode/sim/scenario"
)

// splitBrain makes a run as it could have been: ten nodes, cut into six and four
// from 30 s to 70 s, one of them slow for a while afterwards, sampled twice a
// second.
func splitBrain() *scenario.Result {
	random := rand.New(rand.NewPCG(7, 7))
	r := &scenario.Result{
		Scenario: "split-brain",
		Story: "The network between two rooms fails for forty seconds. Each half goes on alone, takes the other for dead, " +
			"and serves the keys that it can; when the cable is back, they must become one mesh again.",
		Seed: 42, Nodes: 10, Profile: "lan", VirtualS: 120, WallS: 1.873, Ratio: 64.07,
		TraceHash: "9f3a61c0d4e7", Events: 1204551, Go: "go1.26.8",
		Replay: "meshnode sim split-brain --nodes 10 --seed 42 --duration 2m0s",
		Broken: []scenario.Broken{},
		Faults: []scenario.FaultRecord{
			{Do: "partition", AtS: 30, UntilS: 70, Nodes: []string{"n0", "n1", "n2", "n3", "n4", "n5"}, Detail: "cut off from n6, n7, n8, n9"},
			{Do: "crash", AtS: 85, Nodes: []string{"n3"}},
			{Do: "slow", AtS: 90, UntilS: 100, Nodes: []string{"n8"}, Detail: "four times slower"},
			{Do: "restart", AtS: 97, Nodes: []string{"n3"}, Detail: "with a new address"},
		},
	}
	for i, name := range []string{
		"fingerprint-agreement", "owner-executes", "executed-once", "deadline-kept", "no-live-dead", "moves-required", "nothing-left",
	} {
		r.Checked = append(r.Checked, scenario.Checked{Invariant: name, Times: uint64(240 + 3001*i), Meaning: []string{
			"all live connected nodes have one table within 10 s after the last fault",
			"no node executed a call for a key that its own table gave to another",
			"no call of a method that is not idempotent was executed twice",
			"every call ended by its deadline",
			"no live node is listed as dead after the heal",
			"partitions moved only from who left and to who joined",
			"a stopped node left no goroutine behind",
		}[i]})
	}
	fillSeries(&r.Series, random)
	r.Summary = scenario.Summary{
		JoinS: 1.42, DetectionS: &scenario.Spread{N: 5, Min: 2.51, P50: 3.12, Max: 4.48},
		FirstDetectionS: &scenario.Spread{N: 5, Min: 1.9, P50: 2.2, Max: 2.91},
		FalsePositives:  3, ConvergenceS: &scenario.Spread{N: 2, Min: 1.75, P50: 2.4, Max: 3.05},
		ByCode: map[string]int{"OK": 0, "Unavailable": 0, "DeadlineExceeded": 37},
		P50Ms:  0.61, P99Ms: 8.72, MaxMs: 2011.4, Failovers: 214,
		MovedPartitions: 23144, MovedRequired: 19861, TableChanges: 5,
		GossipBytesPerNode: 2104.6, PacketsPerNode: 14.2, MeshBytesPerNode: 30412, Partitions: 16384,
		Goroutines: 412, HeapMiB: 61.3,
	}
	failed := 0
	for i, calls := range r.Series.Calls {
		r.Summary.Calls += uint64(calls)
		failed += r.Series.Failed[i]
	}
	r.Summary.ByCode["Unavailable"] = failed - 37
	r.Summary.ByCode["OK"] = int(r.Summary.Calls) - failed
	r.Summary.Availability = 1 - float64(failed)/float64(r.Summary.Calls)
	return r
}

// fillSeries makes 240 samples that go with the faults of splitBrain.
func fillSeries(s *scenario.Series, random *rand.Rand) {
	for i := 1; i <= 240; i++ {
		t := float64(i) / 2
		live, least, most, mean, tables := 10, 10, 10, 10.0, 1
		calls, failed := 95+random.IntN(11), 0
		p50, p99 := 0.55+0.1*random.Float64(), 2.1+random.Float64()
		longest, moved, gossip := p99*(1.2+random.Float64()), 0, 1900+200*random.Float64()
		switch {
		case t < 2:
			least, mean, most, tables, calls, gossip = 1+i, 3+float64(i)*1.5, min(4+2*i, 10), 5-i, 0, 9000-float64(i)*1500
		case t > 30 && t <= 36: // each half finds the other dead
			part := (t - 30) / 6
			least, most = int(math.Ceil(10-6*part)), max(10-int(part*part*5), 6)
			mean, tables = 10-4.8*part, 1+random.IntN(5)
			failed, p99, longest = 9+random.IntN(18), 250+400*random.Float64(), 1900+150*random.Float64()
			moved, gossip = random.IntN(2400), 4200+1500*random.Float64()
		case t > 36 && t <= 70:
			least, most, mean, tables = 4, 6, 5.2, 2
			failed, p99 = random.IntN(2), 5+4*random.Float64()
			longest = p99 * 2
		case t > 70 && t <= 73: // one mesh again
			part := (t - 70) / 3
			least, most, mean, tables = 4+int(6*part), min(6+int(10*part), 10), 5.2+4.8*part, 3
			p99, longest, moved, gossip = 60, 140+90*random.Float64(), 900+random.IntN(2000), 6900+2000*random.Float64()
		case t > 85 && t <= 97:
			live = 9
			if t > 88 {
				least, most, mean = 9, 9, 9
			} else {
				failed, p99, longest = random.IntN(5), 80, 400*random.Float64()+200
			}
			if i == 177 {
				moved = 1640
			}
		}
		if t == 98.5 {
			moved = 1639
		}
		s.T = append(s.T, t)
		s.Live, s.SeenMin, s.SeenMax = append(s.Live, live), append(s.SeenMin, least), append(s.SeenMax, most)
		s.SeenMean, s.Tables = append(s.SeenMean, mean), append(s.Tables, tables)
		s.Calls, s.Failed, s.Moved = append(s.Calls, calls), append(s.Failed, min(failed, calls)), append(s.Moved, moved)
		if calls == 0 {
			p50, p99, longest = 0, 0, 0
		}
		s.P50Ms, s.P99Ms, s.MaxMs = append(s.P50Ms, p50), append(s.P99Ms, p99), append(s.MaxMs, longest)
		s.GossipPerSec = append(s.GossipPerSec, gossip)
	}
}

// brokenSplitBrain is the run with a bug planted.
func brokenSplitBrain() *scenario.Result {
	r := splitBrain()
	r.Seed, r.Exact, r.Module = 43, true, "c0ffee12"
	r.Replay = "meshnode sim split-brain --nodes 10 --seed 43 --duration 2m0s --exact"
	r.Planted = []string{"stale-table: n4 keeps the table that it had before the heal"}
	r.Warnings = []string{"3 samples were late by more than 0.1 s"}
	r.Summary.Availability -= 708 / float64(r.Summary.Calls)
	r.Summary.ByCode["OK"] -= 708
	r.Summary.ByCode["Unavailable"] += 568
	r.Summary.ConvergenceS = &scenario.Spread{N: 2, Min: 1.75, P50: 26, Max: 50}
	r.Summary.P99Ms, r.Summary.GossipBytesPerNode = 9.1, 2610
	r.Summary.ByCode["NotOwner"] = 140
	r.Broken = []scenario.Broken{
		{
			Invariant: "fingerprint-agreement", AtS: 80.5, Count: 79,
			Detail: "10.5 s after the heal, n4 has table 8c1fe2a9 and the other nine have 77ab01d4",
		},
		{
			Invariant: "owner-executes", AtS: 74.2371, Count: 1,
			Detail: `n4 executed "demo.Put" for the key "cart-8812", partition 9120, which the table of the nine gives to n7; it was no failover`,
		},
		{Invariant: "expect availability ≥ 99%", AtS: 120, Count: 1, Detail: "availability was 95.1%"},
	}
	for i := range r.Series.Tables {
		if r.Series.T[i] > 73 {
			r.Series.Tables[i] = 2
		}
	}
	return r
}

// short leaves a few samples of a run.
func short(r *scenario.Result) *scenario.Result {
	s := &r.Series
	s.T, s.Live, s.SeenMin, s.SeenMean, s.SeenMax, s.Tables = s.T[:5], s.Live[:5], s.SeenMin[:5], s.SeenMean[:5], s.SeenMax[:5], s.Tables[:5]
	s.Calls, s.Failed, s.P50Ms, s.P99Ms, s.MaxMs = s.Calls[:5], s.Failed[:5], s.P50Ms[:5], s.P99Ms[:5], s.MaxMs[:5]
	s.Moved, s.GossipPerSec = s.Moved[:5], s.GossipPerSec[:5]
	return r
}

// hostile is a run whose texts try to be markup, and control a terminal.
func hostile() *scenario.Result {
	const evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\x1b[31m\u202e</title></style>{{.}}&lt;"
	r := short(splitBrain())
	r.Scenario, r.Story, r.Profile, r.TraceHash, r.Go, r.Module, r.Replay = evil, evil, evil, evil, evil, evil, evil
	r.Planted, r.Warnings = []string{evil}, []string{evil}
	r.Broken = []scenario.Broken{{Invariant: evil, Detail: evil, AtS: 2}}
	r.Checked = []scenario.Checked{{Invariant: evil, Meaning: evil}}
	r.Faults = []scenario.FaultRecord{{Do: evil, Nodes: []string{evil}, Detail: evil, AtS: 1, UntilS: 2}, {Do: evil, AtS: 3}}
	r.Summary.ByCode = map[string]int{evil: 5}
	return r
}
