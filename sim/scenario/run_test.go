package scenario

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

const quick = `
name: quick
nodes: 6
profile: local
duration: 20s
workload:
  rate: 200
  writes: 0.3
timeline:
  - {at: 3s, do: crash, nodes: 2, for: 6s}
  - {at: 12s, do: partition, nodes: 1/2, for: 4s}
`

func TestQuick(t *testing.T) {
	noBubbles(t)
	s, err := Parse(strings.NewReader(quick))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.Series = Series{}
	b, _ := json.MarshalIndent(r, "", " ")
	t.Logf("%s", b)
}

func sprint(s *Spread) string { return fmt.Sprintf("%.2f/%.2f/%.2f", s.Min, s.P50, s.Max) }
