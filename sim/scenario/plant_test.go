package scenario

import (
	"strings"
	"testing"
)

const eventful = `
name: eventful
nodes: 8
profile: local
duration: 40s
workload:
  rate: 400
  writes: 0.5
  work: 5ms
timeline:
  - {at: 3s, do: crash, nodes: 2, for: 6s}
  - {at: 12s, do: partition, nodes: 1/4, for: 3s}
  - {at: 20s, do: pause, nodes: 4, for: 1s}
  - {at: 22s, do: crash, nodes: last}
`

// Each planted bug breaks an invariant that names it.
func TestPlanted(t *testing.T) {
	noBubbles(t)
	want := map[string][]string{
		"":                {},
		"stale-table":     {InvAgreement},
		"serve-foreign":   {InvOwnership},
		"retry-ambiguous": {InvOnce},
		"no-refutation":   {InvAlive},
	}
	for bug, invariants := range want {
		t.Run("bug="+bug, func(t *testing.T) {
			s, err := Parse(strings.NewReader(eventful))
			if err != nil {
				t.Fatal(err)
			}
			if bug != "" {
				s.Plant = []string{bug}
			}
			r, err := Run(s, Options{})
			if err != nil {
				t.Fatal(err)
			}
			found := map[string]bool{}
			for _, b := range r.Broken {
				found[b.Invariant] = true
				t.Logf("%s at %.3f (%d times): %s", b.Invariant, b.AtS, b.Count, b.Detail)
			}
			for _, inv := range invariants {
				if !found[inv] {
					t.Errorf("%s did not break", inv)
				}
			}
			if len(invariants) == 0 && len(found) > 0 {
				t.Error("something broke without a bug")
			}
			t.Logf("%.1f virtual s in %.2f s, %+v", r.VirtualS, r.WallS, r.Summary.ByCode)
		})
	}
}
