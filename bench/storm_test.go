package main

import (
	"math"
	"testing"
	"time"
)

// Without a budget, retries add what their number says; with it, at most a fifth
// of the calls, those before the storm included, and what the budget begins with.
func TestStorm(t *testing.T) {
	for _, c := range stormCases() {
		r, err := storm(t.Context(), c, 500*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		added := float64(r.Arrived - r.Calls)
		switch calls := float64(r.Calls); {
		case r.Calls < 100:
			t.Fatalf("%+v: too few calls", r)
		case c.bare && math.Abs(r.Load-c.expected()) > 0.12:
			t.Errorf("%+v: want a load of %.3f", r, c.expected())
		case !c.bare && (added <= 0 || added > 0.2*2*calls+130):
			t.Errorf("%+v: too many retries, or none", r)
		}
	}
}
