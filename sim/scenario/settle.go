package scenario

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meshnode/meshnode/membership"
)

// bound is how long after the last fault all must agree: what it takes to notice a
// death, and then several attempts to heal.
func (r *run) bound() time.Duration {
	if c := r.scenario.Expect.Converge; c > 0 {
		return c.D()
	}
	rejoin := 15 * time.Second
	switch r.scenario.Profile {
	case membership.WAN:
		rejoin = time.Minute
	case membership.Local:
		rejoin = 2 * time.Second
	}
	return r.scenario.Profile.DetectionTime(r.cluster.Len()) + 6*rejoin
}

// settle waits until all agree, or until the bound is over, so that the checks of
// what must hold a while after the last fault are made however short the script is.
func (r *run) settle(ctx context.Context) {
	for {
		since, calm := r.truth.calm()
		over := time.Since(since) > r.bound()+2*r.series.step
		if !calm || over || r.series.agreedSince(since) && len(r.truth.undetected()) == 0 {
			return
		}
		if sleep(ctx, r.series.step) != nil {
			return
		}
	}
}

// agreedSince tells whether all have agreed since a time.
func (s *sampler) agreedSince(since time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calmFor.Equal(since)
}

// agreeSince notes that all agree, in the calm that began at a time. It tells whether
// that is new.
func (s *sampler) agreeSince(since time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.calmFor.Equal(since)
	s.calmFor = since
	return first
}

// isAliveMissing tells whether what is missing from a table is a live node.
func (r *run) isAliveMissing(what string) bool { return strings.Contains(what, " lacks ") }

// checkDetection checks the time in which a crash was noticed by all.
func (r *run) checkDetection(name string, took float64) {
	most := r.scenario.Expect.Detect.D()
	if most == 0 {
		return
	}
	r.check.check(InvExpect, took <= most.Seconds(), "detect: the end of %s was noticed by all after %.2f s; want at most %v", name, took, most)
}

// expectations checks what the scenario expects of the whole run.
func (r *run) expectations(sum *Summary) {
	e := &r.scenario.Expect
	if e.Availability > 0 {
		r.check.check(InvExpect, sum.Availability >= e.Availability, "availability: %.5f of the calls were answered; want %v", sum.Availability, e.Availability)
	}
	if e.FalsePositives != nil {
		r.check.check(InvExpect, sum.FalsePositives <= *e.FalsePositives, "false-positives: %d; want at most %d", sum.FalsePositives, *e.FalsePositives)
	}
	if e.P99 > 0 {
		r.check.check(InvExpect, sum.P99Ms <= float64(e.P99.D().Milliseconds()), "p99: %.1f ms; want at most %v", sum.P99Ms, e.P99)
	}
	if e.Moved > 0 && sum.MovedRequired > 0 {
		moved := float64(sum.MovedPartitions) / float64(sum.MovedRequired)
		r.check.check(InvExpect, moved <= e.Moved, "moved: %.2f of what had to; want at most %v", moved, e.Moved)
	}
	if e.Converge > 0 && sum.ConvergenceS != nil {
		r.check.check(InvExpect, sum.ConvergenceS.Max <= e.Converge.D().Seconds(), "converge: %.2f s; want at most %v", sum.ConvergenceS.Max, e.Converge)
	}
}

// result puts together what the run showed.
func (r *run) result() *Result {
	sum := r.summary()
	r.expectations(&sum)
	res := &Result{
		Scenario: r.scenario.Name, Story: r.scenario.Story, Seed: r.scenario.Seed, Nodes: r.scenario.Nodes,
		Profile: r.scenario.Profile.String(), VirtualS: r.virtual.Seconds(), Go: versions(),
		Replay: r.replay(), Summary: sum, Series: r.series.series, Planted: r.scenario.Plant,
	}
	r.mu.Lock()
	res.Faults = r.faults
	r.mu.Unlock()
	if res.Faults == nil {
		res.Faults = []FaultRecord{}
	}
	res.Broken, res.Checked = r.check.report()
	res.TraceHash, res.Events = r.trace.result()
	return res
}

// replay is the command that runs it again.
func (r *run) replay() string {
	return fmt.Sprintf("meshnode sim %s --nodes %d --seed %d", r.scenario.Name, r.scenario.Nodes, r.scenario.Seed)
}

func (r *run) summary() Summary {
	w, s, t := r.work, r.series, r.tables
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.Sort(w.millis)
	sum := Summary{
		JoinS: r.joinS, DetectionS: spread(s.detected), FirstDetectionS: spread(s.first), ConvergenceS: spread(s.converged),
		FalsePositives: t.falsePositives, Availability: 1, Calls: uint64(w.total.ended), ByCode: w.byCode,
		P50Ms: quantile(w.millis, 0.5), P99Ms: quantile(w.millis, 0.99), MaxMs: quantile(w.millis, 1), Failovers: w.standIns,
		MovedPartitions: t.moved, MovedRequired: t.required, TableChanges: t.changes,
		Goroutines: s.goroutines, HeapMiB: float64(s.heap) / (1 << 20),
	}
	if w.total.ended > 0 {
		sum.Availability = 1 - float64(w.total.failed)/float64(w.total.ended)
	}
	if t.agreed != nil {
		sum.Partitions = int(t.agreed.Params().Partitions)
	}
	r.rates(&sum)
	return sum
}

// rates gives what each node has sent per second, over the samples.
func (r *run) rates(sum *Summary) {
	var seconds float64
	for _, live := range r.series.series.Live {
		seconds += float64(live) * r.series.step.Seconds()
	}
	if seconds == 0 {
		return
	}
	t := r.traffic()
	sum.GossipBytesPerNode = float64(t.PacketBytes+t.GossipBytes) / seconds
	sum.PacketsPerNode = float64(t.Packets) / seconds
	sum.MeshBytesPerNode = float64(t.MeshBytes) / seconds
}

// spread gives the least, the middle and the most; nil for nothing.
func spread(values []float64) *Spread {
	if len(values) == 0 {
		return nil
	}
	sorted := slices.Sorted(slices.Values(values))
	return &Spread{N: len(sorted), Min: sorted[0], P50: sorted[(len(sorted)-1)/2], Max: sorted[len(sorted)-1]}
}
