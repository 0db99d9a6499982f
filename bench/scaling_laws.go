package main

import (
	"fmt"
	"math"

	"github.com/meshnode/meshnode/membership"
)

// law is how one figure depends on the number of members.
type law struct {
	Name     string    `json:"name"`
	Unit     string    `json:"unit"`
	Function string    `json:"function"`
	From     string    `json:"from"` // fitted; formula: by its source; derived: from others
	Sizes    []float64 `json:"sizes"`
	Measured []float64 `json:"measured"`
	Expected []float64 `json:"expected"`
	Residual float64   `json:"residual"` // the largest relative error
	Far      []float64 `json:"far"`      // at farSizes
	at       term
}

// farSizes are what the laws are asked for.
func farSizes() []float64 { return []float64{1e3, 1e4, 1e5} }

// points are what was measured of one figure.
type points struct{ sizes, values []float64 }

// pointsOf gives the sizes and the figures of rows, those that are not 0.
func pointsOf[T any](rows []T, size, value func(*T) float64) (p points) {
	for i := range rows {
		if v := value(&rows[i]); v > 0 {
			p.sizes, p.values = append(p.sizes, size(&rows[i])), append(p.values, v)
		}
	}
	return p
}

// lawBook collects laws, and the first error.
type lawBook struct {
	laws []law
	err  error
}

// formula is a law by its source; derived is one that follows from others.
func (b *lawBook) formula(name, unit, function string, p points, at term) term {
	return b.put(law{Name: name, Unit: unit, Function: function, From: "formula", at: at}, p)
}

func (b *lawBook) derived(name, unit, function string, p points, at term) term {
	return b.put(law{Name: name, Unit: unit, Function: function, From: "derived", at: at}, p)
}

// fit is a law whose factors are fitted; function has a verb for each.
func (b *lawBook) fit(name, unit, function string, p points, terms ...term) term {
	return b.fitBeyond(name, unit, function, p, func(float64) float64 { return 0 }, terms...)
}

// fitBeyond is fit for what a figure has beyond a known part of it.
func (b *lawBook) fitBeyond(name, unit, function string, p points, known term, terms ...term) term {
	rest := points{sizes: p.sizes, values: make([]float64, len(p.values))}
	for i, n := range p.sizes {
		rest.values[i] = p.values[i] - known(n)
	}
	factors, err := fit(rest.sizes, rest.values, terms...)
	if err != nil {
		if b.err == nil {
			b.err = fmt.Errorf("%s: %w", name, err)
		}
		factors = make([]float64, len(terms))
	}
	args := make([]any, len(factors))
	for i, f := range factors {
		args[i] = f
	}
	beyond := sumOf(factors, terms...)
	return b.put(law{
		Name: name, Unit: unit, Function: fmt.Sprintf(function, args...), From: "fitted",
		at: func(n float64) float64 { return known(n) + beyond(n) },
	}, p)
}

// put works out what follows from a law's function and the measurements, notes the
// law, and gives its function.
func (b *lawBook) put(l law, p points) term {
	l.Sizes, l.Measured = p.sizes, p.values
	for i, n := range l.Sizes {
		e := l.at(n)
		l.Expected = append(l.Expected, e)
		l.Residual = max(l.Residual, math.Abs(e-l.Measured[i])/l.Measured[i])
	}
	for _, n := range farSizes() {
		l.Far = append(l.Far, l.at(n))
	}
	b.laws = append(b.laws, l)
	return l.at
}

// meshLaws are those of a whole mesh, by what was simulated.
func meshLaws(rows []simRow) ([]law, error) {
	var b lawBook
	of := func(value func(*simRow) float64) points {
		return pointsOf(rows, func(r *simRow) float64 { return float64(r.Nodes) }, value)
	}
	idle := b.fit("datagrams of a node, idle", "B/s", "%.0f", of(func(r *simRow) float64 { return r.IdleBytes }), one)
	every := b.formula("a push/pull by each node every", "s", "30 (ceil(log2 N - 5) + 1), from 33 on", of(func(r *simRow) float64 { return r.SyncEvery }),
		func(n float64) float64 { return pushPullEvery(int(n)).Seconds() })
	syncing := b.fit("one push/pull, both ways", "B", "%.0f + %.1f N", of(func(r *simRow) float64 { return r.SyncBytes }), one, linear)
	b.derived("push/pull of a node", "B/s", "the two above", of(func(r *simRow) float64 { return r.SyncRate }),
		func(n float64) float64 { return syncing(n) / every(n) })
	b.derived("idle in all", "B/s", "the above", of(func(r *simRow) float64 { return r.IdleBytes + r.SyncRate }),
		func(n float64) float64 { return idle(n) + syncing(n)/every(n) })

	form := b.fit("all join: datagrams of a node", "B", "%.1f N R(N)", of(func(r *simRow) float64 { return r.FormBytes }),
		func(n float64) float64 { return n * retransmits(n) })
	b.formula("all join: the busiest second", "B/s", "1400 (6/0.2 + 2)", of(func(r *simRow) float64 {
		if r.Nodes < 100 {
			return 0 // too few to fill their packets
		}
		return r.FormPeak
	}), mostGossip)
	b.derived("all join: datagrams at full rate", "s", "the two above", points{}, func(n float64) float64 { return form(n) / mostGossip(n) })
	b.fit("all join: from the last start until all agree", "s", "%.2f + %.4f N", of(func(r *simRow) float64 { return r.FormS }), one, linear)
	b.fit("all join: streams of a node", "B", "%.0f N", of(func(r *simRow) float64 { return r.FormStreams }), linear)
	b.fit("all join: streams of the busiest seed", "B", "%.1f N^2", of(func(r *simRow) float64 { return r.FormSeed }), square)

	b.fitBeyond("one returns: until all route by it", "s", "q(N) + %.3f log2 N", of(func(r *simRow) float64 { return r.Join }), quietFor, rounds)
	joining := b.fit("one returns: datagrams of a node", "B", "%.0f R(N)", of(func(r *simRow) float64 { return r.JoinBytes }), repeats)
	asking := b.fit("one returns: nodes that fetch its list", "", "%.3g N^2, at most N", of(func(r *simRow) float64 {
		if r.Nodes < 100 {
			return 0 // hardly ever one
		}
		return r.Askers
	}), square)
	b.derived("one returns: streams of all", "B", "(8 + 4 of the above) lists", points{}, func(n float64) float64 {
		return (listsOfReturn + listsOfSearch*min(n, asking(n))) * syncing(n) / 2
	})
	b.derived("one is new: streams of all", "B", "5/2 of a push/pull", points{}, func(n float64) float64 { return listsOfJoin / 2 * syncing(n) })
	b.derived("joins that datagrams carry", "1/s", "the busiest second / a return", points{}, func(n float64) float64 { return mostGossip(n) / joining(n) })

	b.fit("a crash: datagrams of a node", "B", "%.0f R(N)", of(func(r *simRow) float64 { return r.CrashBytes }), repeats)
	b.formula("a crash: probe and suspicion", "s", "2 + 4 log10 N", points{}, detection)
	first := b.formula("a crash: until one has dropped it", "s", "the above + q(N)", of(func(r *simRow) float64 { return r.First }), dropping)
	rest := b.fit("a crash: from the first to all", "s", "%.2f + %.3f log2 N", of(func(r *simRow) float64 { return r.All - r.First }), one, rounds)
	b.derived("a crash: until all have", "s", "the two above", of(func(r *simRow) float64 { return r.All }), func(n float64) float64 { return first(n) + rest(n) })
	b.formula("a crash: what membership promises", "s", "Profile.DetectionTime", points{},
		func(n float64) float64 { return membership.LAN.DetectionTime(int(n)).Seconds() })
	b.formula("a view waits for quiet, q(N)", "s", "0.005 max(1, N/50)", points{}, quietFor)
	return b.laws, b.err
}

// nodeLaws are what members cost one node.
func nodeLaws(rows []nodeRow) ([]law, error) {
	var b lawBook
	of := func(value func(*nodeRow) float64) points {
		return pointsOf(rows, func(r *nodeRow) float64 { return float64(r.Members) }, value)
	}
	b.fit("memory", "KiB", "%.2f N", of(func(r *nodeRow) float64 { return r.Bytes / 1024 }), linear)
	b.fit("one push/pull, its answer", "B", "%.0f + %.1f N", of(func(r *nodeRow) float64 { return r.SyncBytes }), one, linear)
	b.fit("one push/pull, time", "ms", "%.5f N", of(func(r *nodeRow) float64 { return r.SyncS * 1e3 }), linear)
	b.fit("one member less, processor time", "ms", "%.2f + %.5f N", of(func(r *nodeRow) float64 { return r.ChangeS * 1e3 }), one, linear)
	return b.laws, b.err
}

// tableLaws are those of ownership tables, for each number of partitions.
func tableLaws(rows []tableRow) ([]law, error) {
	var b lawBook
	for _, p := range tablePartitions() {
		of := func(value func(*tableRow) float64) points {
			return pointsOf(rows, func(r *tableRow) float64 { return float64(r.Members) }, func(r *tableRow) float64 {
				if r.Partitions != p {
					return 0
				}
				return value(r)
			})
		}
		name := fmt.Sprintf("2^%.0f partitions: ", math.Log2(float64(p)))
		b.fit(name+"New", "ms", "%.1f + %.4f N", of(func(r *tableRow) float64 { return r.NewS * 1e3 }), one, linear)
		b.fit(name+"With", "ms", "%.2f + %.5f N", of(func(r *tableRow) float64 { return r.WithS * 1e3 }), one, linear)
		b.fit(name+"memory", "KiB", "%.0f + %.4f N", of(func(r *tableRow) float64 { return r.Bytes / 1024 }), one, linear)
		b.derived(name+"largest share over the average", "", "max(1, round(1.05 P/N)) N/P", of(func(r *tableRow) float64 { return r.Peak }),
			func(n float64) float64 { return largestShare(n, float64(p)) })
	}
	return b.laws, b.err
}
