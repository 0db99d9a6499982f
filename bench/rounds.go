package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"
)

// plan is what one run measures.
type plan struct {
	peers   []peerType
	sizes   []int
	callers []int
	rounds  int
	timing  timing
	// budget bounds the whole run: the time of each cell is its share of what
	// is left. 0: each cell takes the time in timing.
	budget time.Duration
}

// row is one line of the result: medians over the rounds.
type row struct {
	Peer    string  `json:"peer"`
	Size    int     `json:"size"`
	Callers int     `json:"callers"`
	Calls   float64 `json:"calls_per_s"`
	P50     float64 `json:"p50_us"`
	P99     float64 `json:"p99_us"`
	CPU     float64 `json:"cpu_us"` // 0: the system doesn't say
	Allocs  float64 `json:"allocs"`
	Ratio   float64 `json:"ratio_to_limit,omitempty"` // 0: the limit was not measured
}

// leastWindow is the shortest window that says anything.
const leastWindow = 25 * time.Millisecond

// step is one measurement of a run.
type step struct {
	round int
	peer  peerType
	cell  cell
}

// steps go over all cells once a round. Peers follow each other within a cell,
// each time another one first. The cells that take longest come first, so that
// what they take beyond their share of a budget is left out of many others.
func (p plan) steps() []step {
	var all []step
	for round := range p.rounds {
		for i, size := range descending(p.sizes) {
			for j, callers := range descending(p.callers) {
				for k := range p.peers {
					peer := p.peers[(k+round+i+j)%len(p.peers)]
					all = append(all, step{round, peer, cell{peer.name, size, callers}})
				}
			}
		}
	}
	return all
}

// run measures everything. The error tells which measurements failed; they are
// missing in the rows.
func (p plan) run(ctx context.Context, progress io.Writer) ([]row, error) {
	results := make(map[cell][]sample)
	var failed []error
	all, begin := p.steps(), time.Now()
	for i, st := range all {
		s, err := measureCell(ctx, st.peer, st.cell, p.share(time.Since(begin), len(all)-i))
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			failed = append(failed, fmt.Errorf("round %d: %v: %w", st.round+1, st.cell, err))
		default:
			s.round = st.round
			results[st.cell] = append(results[st.cell], s)
		}
		_, _ = fmt.Fprintf(progress, "\r%d of %d, round %d of %d: %-32v", i+1, len(all), st.round+1, p.rounds, st.cell)
	}
	_, _ = fmt.Fprintf(progress, "\r%d measurements in %v%-40s\n", len(all), time.Since(begin).Round(time.Second/10), "")
	return p.rows(results), errors.Join(failed...)
}

func descending(values []int) []int {
	return slices.SortedFunc(slices.Values(values), func(a, b int) int { return cmp.Compare(b, a) })
}

// share gives the timing of the next cell. Starting and warming up take a part
// that is not known, and what they take is missing for the cells that follow.
func (p plan) share(elapsed time.Duration, left int) timing {
	if p.budget == 0 {
		return p.timing
	}
	each := (p.budget - elapsed) / time.Duration(left)
	return timing{warm: each / 8, window: max(each/2, leastWindow)}
}

// measureCell starts a peer, measures one cell, and leaves nothing behind.
func measureCell(ctx context.Context, peer peerType, c cell, t timing) (sample, error) {
	p, err := peer.start(ctx)
	if err != nil {
		return sample{}, err
	}
	defer p.Close()
	runtime.GC()
	return measure(ctx, p, c, t)
}

// rows gives the medians, by size, callers and calls/s.
func (p plan) rows(results map[cell][]sample) []row {
	var out []row
	for c, samples := range results {
		of := func(value func(sample) float64) float64 { return medianOf(samples, value) }
		out = append(out, row{
			Peer: c.peer, Size: c.size, Callers: c.callers,
			Calls:  of(func(s sample) float64 { return s.callsPerSecond }),
			P50:    of(func(s sample) float64 { return micros(s.p50) }),
			P99:    of(func(s sample) float64 { return micros(s.p99) }),
			CPU:    of(func(s sample) float64 { return micros(s.cpu) }),
			Allocs: of(func(s sample) float64 { return s.allocs }),
			Ratio:  ratio(samples, results[cell{limitName, c.size, c.callers}]),
		})
	}
	slices.SortFunc(out, func(a, b row) int {
		return cmp.Or(
			cmp.Compare(slices.Index(p.sizes, a.Size), slices.Index(p.sizes, b.Size)),
			cmp.Compare(slices.Index(p.callers, a.Callers), slices.Index(p.callers, b.Callers)),
			cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Peer, b.Peer),
		)
	})
	return out
}

// ratio is the median of the ratios within each round; 0 without a limit.
func ratio(samples, limit []sample) float64 {
	var ratios []float64
	for _, s := range samples {
		for _, l := range limit {
			if l.round == s.round {
				ratios = append(ratios, s.callsPerSecond/l.callsPerSecond)
			}
		}
	}
	return median(ratios)
}

func medianOf[T any](all []T, value func(T) float64) float64 {
	values := make([]float64, 0, len(all))
	for _, s := range all {
		values = append(values, value(s))
	}
	return median(values)
}

// median is the middle of values, or the mean of the two in the middle; 0 of
// none. It sorts values.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	slices.Sort(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
