package scenario

import (
	"slices"
	"testing"
)

// costly are the shipped scenarios that take as long as all others together. They run
// with -tags long and, as all do, in the step sim of .ci/run.
func costly() []string { return []string{"scale-out"} }

// Every scenario that is shipped holds.
func TestShipped(t *testing.T) {
	noBubbles(t)
	for _, name := range Names() {
		if !slices.Contains(costly(), name) {
			t.Run(name, func(t *testing.T) { shippedHolds(t, name) })
		}
	}
}

func shippedHolds(t *testing.T, name string) {
	s, err := Shipped(name)
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != name || s.Story == "" {
		t.Errorf("name %q, story %q", s.Name, s.Story)
	}
	r, err := Run(s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range r.Broken {
		t.Errorf("%s at %.3f (%d times): %s", b.Invariant, b.AtS, b.Count, b.Detail)
	}
	u := r.Summary
	det, conv := "-", "-"
	if u.DetectionS != nil {
		det = sprint(u.DetectionS)
	}
	if u.ConvergenceS != nil {
		conv = sprint(u.ConvergenceS)
	}
	t.Logf("%.0f s in %.2f s; join %.2f, detect %s, converge %s, fp %d, avail %.5f of %d, p50 %.2f p99 %.2f max %.1f ms, moved %d/%d, failovers %d, gossip %.0f B/s, codes %v",
		r.VirtualS, r.WallS, u.JoinS, det, conv, u.FalsePositives, u.Availability, u.Calls, u.P50Ms, u.P99Ms, u.MaxMs, u.MovedPartitions, u.MovedRequired, u.Failovers, u.GossipBytesPerNode, u.ByCode)
}
