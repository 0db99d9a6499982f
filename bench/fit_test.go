package main

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// What is a sum of the terms is found again, to the digits that numbers have.
func TestFitFindsTheFactors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := []float64{rapid.Float64Range(1, 1e4).Draw(t, "a"), rapid.Float64Range(0.01, 100).Draw(t, "b")}
		f := sumOf(want, one, linear)
		sizes := []float64{10, 30, 100, 300}
		values := make([]float64, len(sizes))
		for i, n := range sizes {
			values[i] = f(n)
		}
		got, err := fit(sizes, values, one, linear)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if math.Abs(got[i]-want[i]) > 1e-6*(want[0]+want[1]) {
				t.Fatalf("got %v, want %v", got, want)
			}
		}
	})
}

// Relative errors count alike: with one factor, the fit of values that are off by
// the same part up and down is in the middle, however large they are.
func TestFitWeighsByTheValue(t *testing.T) {
	got, err := fit([]float64{10, 1000}, []float64{10 * 1.1, 1000 * 0.9}, linear)
	if err != nil || math.Abs(got[0]-1) > 0.02 {
		t.Errorf("got %v, %v; want about 1", got, err)
	}
}

func TestFitRefuses(t *testing.T) {
	tests := []struct {
		name  string
		sizes []float64
		terms []term
	}{
		{"fewer points than terms", []float64{10}, []term{one, linear}},
		{"equal sizes", []float64{10, 10}, []term{one, linear}},
		{"nothing", nil, []term{one}},
	}
	for _, test := range tests {
		values := make([]float64, len(test.sizes))
		for i := range values {
			values[i] = 1
		}
		if got, err := fit(test.sizes, values, test.terms...); err == nil {
			t.Errorf("%s: got %v", test.name, got)
		}
	}
}
