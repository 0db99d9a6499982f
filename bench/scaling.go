package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
)

// scalingResult is what --scaling measures and fits.
type scalingResult struct {
	Simulated []simRow   `json:"simulated"`
	Nodes     []nodeRow  `json:"nodes"`
	Tables    []tableRow `json:"tables"`

	MeshLaws  []law `json:"mesh_laws"`
	NodeLaws  []law `json:"node_laws"`
	TableLaws []law `json:"table_laws"`
}

const (
	scalingGC     = 400     // simulated nodes live long: collect rarely
	scalingMemory = 8 << 30 // but not beyond this
	scalingMost   = 2000    // nodes in one simulation
)

// scalingSizes are the sizes that are simulated, if the flags do not say others.
func scalingSizes(quick bool) []int {
	if quick {
		return []int{10, 30, 100}
	}
	return []int{10, 30, 100, 200, 300}
}

// crashesFor is how many crashes are averaged: more where they cost little.
func crashesFor(nodes int) int { return min(max(3600/nodes, 3), 24) }

// checkScaling is check for the simulator: sizes are numbers of nodes.
func (o options) checkScaling() error {
	if len(o.sizes) < 2 {
		return errors.New("--sizes: two at least, to fit anything to")
	}
	for _, n := range o.sizes {
		if n <= simSeeds || n > scalingMost {
			return fmt.Errorf("--sizes: %d is not within %d and %d nodes", n, simSeeds+1, scalingMost)
		}
	}
	return nil
}

func runScaling(ctx context.Context, o options, stdout, stderr io.Writer) error {
	gc, memory := debug.SetGCPercent(scalingGC), debug.SetMemoryLimit(scalingMemory)
	defer func() { debug.SetGCPercent(gc); debug.SetMemoryLimit(memory) }()
	var r scalingResult
	for _, n := range o.sizes {
		if err := ctx.Err(); err != nil {
			return err
		}
		fmt.Fprintf(stderr, "%d nodes\n", n)
		row, err := simulate(n, crashesFor(n), uint64(n))
		if err != nil {
			return err
		}
		r.Simulated = append(r.Simulated, row)
		debug.FreeOSMemory()
	}
	members := []int{100, 1000, 10_000}
	if o.quick {
		members = members[:2]
	}
	for _, n := range members {
		fmt.Fprintf(stderr, "one node, %d members\n", n)
		row, err := measureNode(ctx, n)
		if err != nil {
			return err
		}
		r.Nodes = append(r.Nodes, row)
	}
	fmt.Fprintln(stderr, "tables")
	var err error
	if r.Tables, err = measureTables(ctx, members); err != nil {
		return err
	}
	if err := r.fit(); err != nil {
		return err
	}
	return r.report(o, stdout)
}

// fit finds the laws.
func (r *scalingResult) fit() (err error) {
	if r.MeshLaws, err = meshLaws(r.Simulated); err != nil {
		return err
	}
	if r.NodeLaws, err = nodeLaws(r.Nodes); err != nil {
		return err
	}
	r.TableLaws, err = tableLaws(r.Tables)
	return err
}

func (r *scalingResult) report(o options, stdout io.Writer) error {
	if o.svg != "" {
		if err := os.WriteFile(o.svg, drawScaling(r.MeshLaws), 0o644); err != nil {
			return err
		}
	}
	if o.json {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	var b bytes.Buffer
	b.WriteString("simulated: the profile lan, no calls; R(N) = 8 ceil(log10(N+1)), q(N) = 5 ms max(1, N/50)\n\n")
	align(&b, lawLines(r.MeshLaws))
	b.WriteString("\none node that has so many members\n\n")
	align(&b, lawLines(r.NodeLaws))
	b.WriteString("\nownership tables\n\n")
	align(&b, lawLines(r.TableLaws))
	_, err := stdout.Write(b.Bytes())
	return err
}

// lawLines are laws for people: what was measured, and what follows.
func lawLines(laws []law) [][]string {
	var sizes []float64
	for i := range laws {
		sizes = append(sizes, laws[i].Sizes...)
	}
	slices.Sort(sizes)
	sizes = slices.Compact(sizes)
	head := []string{"", "unit"}
	for _, n := range sizes {
		head = append(head, grouped(n))
	}
	head = append(head, "function", "from", "worst")
	for _, n := range farSizes() {
		head = append(head, "at "+grouped(n))
	}
	lines := [][]string{head}
	for i := range laws {
		l := &laws[i]
		line := []string{l.Name, l.Unit}
		for _, n := range sizes {
			line = append(line, l.measuredAt(n))
		}
		worst := "-"
		if len(l.Sizes) > 0 {
			worst = figure(100*l.Residual, 0) + " %"
		}
		line = append(line, l.Function, l.From, worst)
		for _, v := range l.Far {
			line = append(line, short(v))
		}
		lines = append(lines, line)
	}
	return lines
}

// measuredAt is what was measured at a size; "-" if nothing was.
func (l *law) measuredAt(n float64) string {
	if i := slices.Index(l.Sizes, n); i >= 0 {
		return short(l.Measured[i])
	}
	return "-"
}
