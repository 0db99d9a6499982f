package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/meshnode/meshnode/router"
)

// placementRow is what one way to place keys is like. NaN and negative values
// stand for what it does not offer.
type placementRow struct {
	Name     string             `json:"name"`
	Peak     map[string]float64 `json:"peak"`     // by number of members: the largest share over the average
	Weighted map[string]float64 `json:"weighted"` // the same over the weighted share, weights from 0.5 to 2
	Join     float64            `json:"join"`     // keys moved, over the least, at 100 members
	Leave    float64            `json:"leave"`
	LookupNs float64            `json:"lookup_ns"` // of a string key, at 1,000 members
	Allocs   int64              `json:"allocs"`
	BuildMs  float64            `json:"build_ms"`  // of 1,000 members
	UpdateMs float64            `json:"update_ms"` // one member more of 1,000
	Bytes    float64            `json:"bytes"`     // of memory, at 1,000 members
}

// clusterSizes are those that balance is measured at.
func clusterSizes() []int { return []int{3, 10, 100, 1000} }

func partitionsFor(members int) uint32 {
	if members >= 1000 {
		return 1 << 16
	}
	return 1 << 14
}

// clusterOf gives members, of random weights if a seed is given.
func clusterOf(n int, seed uint64) []router.Member {
	random := rand.New(rand.NewPCG(seed, 1))
	members := make([]router.Member, n)
	for i := range members {
		members[i].Name = fmt.Sprintf("node-%04d.example.net:7101", i*2)
		members[i].Weight = 1
		if seed > 0 {
			members[i].Weight = 0.5 + 1.5*random.Float64()
		}
	}
	return members
}

func runTables(ctx context.Context, o options, stdout, stderr io.Writer) error {
	var rows []placementRow
	for _, kind := range placementTypes() {
		if err := ctx.Err(); err != nil {
			return err
		}
		fmt.Fprintf(stderr, "%s\n", kind.name)
		row, err := measurePlacement(kind)
		if err != nil {
			return fmt.Errorf("%s: %w", kind.name, err)
		}
		rows = append(rows, row)
	}
	if o.svg != "" {
		if err := os.WriteFile(o.svg, drawBalance(rows), 0o644); err != nil {
			return err
		}
	}
	if o.json {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		return e.Encode(rows)
	}
	_, err := stdout.Write(placementTable(rows))
	return err
}

func measurePlacement(kind placementType) (placementRow, error) {
	row := placementRow{Name: kind.name, Peak: map[string]float64{}, Weighted: map[string]float64{}}
	for _, n := range clusterSizes() {
		size := fmt.Sprint(n)
		p, err := kind.build(clusterOf(n, 0), partitionsFor(n))
		if err != nil {
			row.Peak[size] = -1 // it cannot
			continue
		}
		row.Peak[size] = peak(p, clusterOf(n, 0))
		if kind.weights {
			weighted := clusterOf(n, 7)
			p, err := kind.build(weighted, partitionsFor(n))
			if err != nil {
				return row, err
			}
			row.Weighted[size] = peak(p, weighted)
		}
	}
	if err := row.measureMoves(kind); err != nil {
		return row, err
	}
	return row, row.measureSpeed(kind)
}

// peak is the largest share of a member over what its weight entitles it to.
func peak(p placement, members []router.Member) (most float64) {
	var weights float64
	for _, m := range members {
		weights += m.Weight
	}
	shares := p.shares()
	for _, m := range members {
		most = max(most, shares[m.Name]*weights/m.Weight)
	}
	return most
}

// sampledKeys is how many keys are followed when a member joins or leaves.
const sampledKeys = 200_000

// measureMoves joins and leaves one of 100 members, several times. The least that
// can move is the share of the one that joins, or that leaves.
func (r *placementRow) measureMoves(kind placementType) error {
	const rounds = 5
	members := clusterOf(100, 0)
	base, err := kind.build(members, partitionsFor(100))
	if err != nil {
		r.Join, r.Leave = -1, -1
		return nil
	}
	keys := make([]string, sampledKeys)
	owners := make([]string, sampledKeys)
	for i := range keys {
		keys[i] = fmt.Sprint("key-", i)
		owners[i] = base.owner(keys[i])
	}
	moved := func(p placement, who string) (all, required float64) {
		for i, key := range keys {
			if now := p.owner(key); now != owners[i] {
				all++
				if now == who || owners[i] == who {
					required++
				}
			}
		}
		return all, required
	}
	for i := range rounds {
		joiner := router.Member{Name: fmt.Sprintf("new-%d.example.net:7101", i), Weight: 1}
		joined, err := base.join(joiner)
		if err != nil {
			return err
		}
		all, required := moved(joined, joiner.Name)
		r.Join += all / required / rounds
		gone := members[i*17].Name
		left, err := base.leave(gone)
		if err != nil {
			return err
		}
		all, required = moved(left, gone)
		r.Leave += all / required / rounds
	}
	return nil
}

func (r *placementRow) measureSpeed(kind placementType) error {
	members := clusterOf(1000, 0)
	before := heap()
	start := time.Now()
	p, err := kind.build(members, partitionsFor(1000))
	if err != nil {
		r.LookupNs, r.BuildMs, r.UpdateMs, r.Bytes = -1, -1, -1, -1
		return nil
	}
	r.BuildMs = time.Since(start).Seconds() * 1e3
	r.Bytes = heap() - before
	keys := make([]string, 1<<12)
	for i := range keys {
		keys[i] = fmt.Sprintf("user/%d/session", i)
	}
	i := 0
	b := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.owner(keys[i&(len(keys)-1)])
			i++
		}
	})
	r.LookupNs, r.Allocs = float64(b.T.Nanoseconds())/float64(b.N), b.AllocsPerOp()
	r.UpdateMs, err = timeUpdate(p)
	return err
}

// timeUpdate is how long it takes to take in one more member, in milliseconds:
// the median of a few. What changes in place is built anew for each.
func timeUpdate(p placement) (float64, error) {
	const tries = 5
	var times []float64
	for i := range tries {
		joiner := router.Member{Name: fmt.Sprintf("new-%d.example.net:7101", i), Weight: 1}
		c, inPlace := p.(*consistentPlacement)
		start := time.Now()
		if inPlace {
			c.c.Add(consistentMember(joiner.Name))
		} else if _, err := p.join(joiner); err != nil {
			return 0, err
		}
		times = append(times, time.Since(start).Seconds()*1e3)
		if inPlace {
			c.c.Remove(joiner.Name)
		}
	}
	return median(times), nil
}

// heap is the memory in use, in bytes.
func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// placementTable is the rows for people.
func placementTable(rows []placementRow) []byte {
	lines := [][]string{{
		"", "3", "10", "100", "1000", "weighted 100", "1000", "join", "leave", "lookup ns", "allocs", "build ms", "update ms", "KiB",
	}}
	for _, r := range rows {
		line := []string{r.Name}
		for _, n := range clusterSizes() {
			line = append(line, figure(r.Peak[fmt.Sprint(n)], 3))
		}
		for _, n := range []string{"100", "1000"} {
			if w, ok := r.Weighted[n]; ok {
				line = append(line, figure(w, 3))
			} else {
				line = append(line, "-")
			}
		}
		lines = append(lines, append(line, figure(r.Join, 2), figure(r.Leave, 2), figure(r.LookupNs, 1), fmt.Sprint(r.Allocs),
			figure(r.BuildMs, 1), figure(r.UpdateMs, 2), figure(r.Bytes/1024, 0)))
	}
	var b bytes.Buffer
	b.WriteString("peak share over the average, by members; over the weighted share; keys moved by one of 100 members over the least;\n" +
		"at 1,000 members: lookup, building, one member more, memory\n\n")
	align(&b, lines)
	return b.Bytes()
}

func figure(v float64, digits int) string {
	if v < 0 {
		return "-"
	}
	return fmt.Sprintf("%.*f", digits, v)
}

// drawBalance is a chart of the peak shares: a panel for each number of members.
func drawBalance(rows []placementRow) []byte {
	var bars bytes.Buffer
	y, left := 8, 170
	scale := float64(chartWidth-left-90) / 0.6 // from 1.0 to 1.6
	for _, n := range clusterSizes() {
		fmt.Fprintf(&bars, `<text class="h" x="%d" y="%d">%d members: largest share over the average</text>`+"\n", left, y+14, n)
		y += 24
		for _, r := range rows {
			v := r.Peak[fmt.Sprint(n)]
			class := "other"
			if r.Name == "meshnode" {
				class = "mesh"
			}
			width := max(min(v-1, 0.6)*scale, 1)
			fmt.Fprintf(&bars, `<text class="n" x="%d" y="%d">%s</text>`, left-8, y+12, escaped(r.Name))
			fmt.Fprintf(&bars, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`, class, left, y+1, width, chartBar)
			fmt.Fprintf(&bars, `<text x="%.1f" y="%d">%s</text>`+"\n", float64(left)+width+6, y+12, figure(v, 3))
			y += chartStep
		}
		y += 12
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img">`, chartWidth, y)
	fmt.Fprintf(&b, "\n<title>Balance: the largest share over the average</title>\n<style>%s</style>\n", chartStyle)
	b.Write(bars.Bytes())
	b.WriteString("</svg>\n")
	return b.Bytes()
}
