package scenario

import (
	"os"
	"strconv"
	"testing"
)

func TestRandomHolds(t *testing.T) {
	noBubbles(t)
	first, n := uint64(1), uint64(10)
	if text := os.Getenv("FUZZ"); text != "" {
		n, _ = strconv.ParseUint(text, 10, 64)
	}
	for seed := first; seed < first+n; seed++ {
		s := Random(seed)
		r, err := Run(s, Options{})
		if err != nil {
			t.Fatal(seed, err)
		}
		for _, b := range r.Broken {
			t.Errorf("seed %d: %s at %.3f (%d times): %s", seed, b.Invariant, b.AtS, b.Count, b.Detail)
		}
	}
}
