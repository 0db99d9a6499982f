package scenario

import (
	"os"
	"strconv"
	"testing"
)

// Random scenarios hold. FUZZ=N runs the first N; the step sim of .ci/run runs more.
func TestRandomHolds(t *testing.T) {
	noBubbles(t)
	n := uint64(4)
	if text := os.Getenv("FUZZ"); text != "" {
		n, _ = strconv.ParseUint(text, 10, 64)
	}
	randomHold(t, n)
}

// randomHold runs the random scenarios of the seeds from 1 to n.
func randomHold(t *testing.T, n uint64) {
	for seed := uint64(1); seed <= n; seed++ {
		r, err := Run(Random(seed), Options{})
		if err != nil {
			t.Fatal(seed, err)
		}
		for _, b := range r.Broken {
			t.Errorf("seed %d: %s at %.3f (%d times): %s", seed, b.Invariant, b.AtS, b.Count, b.Detail)
		}
	}
}
