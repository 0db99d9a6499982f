package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

// Every way to place keys places each with a member, and the shares are those of
// the keys.
func TestPlacements(t *testing.T) {
	for _, kind := range placementTypes() {
		t.Run(kind.name, func(t *testing.T) {
			members := clusterOf(20, 0)
			p, err := kind.build(members, 1<<10)
			if err != nil {
				t.Fatal(err)
			}
			counts := make(map[string]float64)
			const keys = 100_000
			for i := range keys {
				counts[p.owner("key-"+strings.Repeat("x", i%3)+string(rune('a'+i%26))+figure(float64(i), 0))]++
			}
			sum := 0.0
			for _, m := range members {
				share := p.shares()[m.Name]
				sum += share
				if got := counts[m.Name] / keys; math.Abs(got-share) > 0.006 {
					t.Errorf("%s has %.4f of the keys, and a share of %.4f", m.Name, got, share)
				}
			}
			if math.Abs(sum-1) > 1e-9 {
				t.Errorf("the shares add up to %v", sum)
			}
			joined, err := p.join(clusterOf(21, 0)[20])
			if err != nil || len(joined.shares()) != 21 {
				t.Errorf("after a join there are %d members, %v", len(joined.shares()), err)
			}
			left, err := p.leave(members[3].Name)
			if err != nil || left.shares()[members[3].Name] != 0 {
				t.Errorf("who left has a share of %v, %v", left.shares()[members[3].Name], err)
			}
		})
	}
}

// wellFormed checks that a chart is XML.
func wellFormed(t *testing.T, chart []byte) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(string(chart))); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, chart)
		}
	}
}

func TestChartsOfTablesAndOverload(t *testing.T) {
	wellFormed(t, drawBalance([]placementRow{{Name: "meshnode", Peak: map[string]float64{"3": 1.01}}, {Name: "a <ring>", Peak: map[string]float64{"3": 1.5}}}))
	wellFormed(t, drawOverload([]overRun{
		{Name: "no limit", Peak: 1000, Seconds: []float64{500, 100, 50}},
		{Name: "adaptive & more", Peak: 1000, Seconds: []float64{900, 990, 1000}},
	}))
}
