package report_test

import (
	"fmt"
	"strings"

	"github.com/meshnode/meshnode/sim/report"
	"github.com/meshnode/meshnode/sim/scenario"
)

func ExampleText() {
	r := &scenario.Result{Scenario: "steady", Seed: 7, Nodes: 3, VirtualS: 60, WallS: 0.5, Ratio: 120}
	r.Checked = []scenario.Checked{{Invariant: "owner-executes", Times: 12044}}
	var b strings.Builder
	if err := report.Text(&b, r, 80); err != nil {
		fmt.Println(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	fmt.Println(lines[0])
	fmt.Println(lines[2])
	fmt.Println(lines[len(lines)-1])
	// Output:
	// steady
	// seed 7, 3 nodes, 60.0 s virtual in 500 ms wall (120×)
	// the one invariant held (checked 12,044 times)
}
