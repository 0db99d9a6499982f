package main

import (
	"bytes"
	"fmt"
	"math"
)

// What the chart of --scaling shows: two panels side by side over the number of
// members, from 10 to 100,000 in equal steps for each ten times as many. Dots are
// measured, lines are the laws.
const (
	scalingHeight = 300
	scalingPanel  = 270 // wide
	scalingTop    = 46
	scalingBottom = 264
)

// scalingCurve is one law of a panel, with a label at some number of members, so
// far below the line.
type scalingCurve struct {
	law, label, class string
	at, below         float64
}

// scalingScale places values of a panel.
type scalingScale struct {
	left        float64
	least, most float64
	log         bool
}

func (s *scalingScale) x(n float64) float64 { return s.left + (math.Log10(n)-1)/4*scalingPanel }

func (s *scalingScale) y(v float64) float64 {
	part := (v - s.least) / (s.most - s.least)
	if s.log {
		part = math.Log(v/s.least) / math.Log(s.most/s.least)
	}
	return scalingBottom - part*(scalingBottom-scalingTop)
}

func drawScaling(laws []law) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img">`, chartWidth, scalingHeight)
	fmt.Fprintf(&b, "\n<title>What a node sends, and when a crash is noticed, by the number of members</title>\n<style>%s"+
		`.l.mesh,.l.other,.l.limit{fill:none;stroke-width:2}.l.mesh{stroke:#1f7ae0}.l.other{stroke:#8c959f}.l.limit{stroke:#c3a13b}`+
		".g{stroke:#8c959f;stroke-opacity:.35}</style>\n", chartStyle)
	scalingPlot(&b, laws, "bytes per second of a node", scalingScale{left: 56, least: 10, most: 1e6, log: true},
		[]float64{10, 100, 1e3, 1e4, 1e5, 1e6}, []scalingCurve{
			{law: "all join: the busiest second", label: "all join", class: "limit", at: 1e3, below: -8},
			{law: "push/pull of a node", label: "push/pull", class: "mesh", at: 3e3, below: 20},
			{law: "datagrams of a node, idle", label: "probes", class: "other", at: 1e3, below: 16},
		})
	scalingPlot(&b, laws, "seconds after a crash", scalingScale{left: 420, least: 0, most: 150},
		[]float64{0, 30, 60, 90, 120, 150}, []scalingCurve{
			{law: "a crash: what membership promises", label: "the bound", class: "limit", at: 300, below: 20},
			{law: "a crash: probe and suspicion", label: "probe and suspicion", class: "other", at: 3e3, below: 18},
			{law: "a crash: until all have", label: "dropped by all", class: "mesh", at: 500, below: -12},
		})
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// scalingPlot draws one panel.
func scalingPlot(b *bytes.Buffer, laws []law, title string, s scalingScale, ticks []float64, curves []scalingCurve) {
	fmt.Fprintf(b, `<text class="h" x="%.0f" y="18">%s</text>`+"\n", s.left, title)
	for _, v := range ticks {
		fmt.Fprintf(b, `<line class="g" x1="%.0f" x2="%.0f" y1="%.1f" y2="%.1f"/><text class="n" x="%.0f" y="%.1f">%s</text>`+"\n",
			s.left, s.left+scalingPanel, s.y(v), s.y(v), s.left-6, s.y(v)+4, scalingTick(v))
	}
	for n := 10.0; n <= 1e5; n *= 10 {
		fmt.Fprintf(b, `<text text-anchor="middle" x="%.1f" y="%d">%s</text>`, s.x(n), scalingBottom+18, scalingTick(n))
	}
	fmt.Fprintf(b, `<text text-anchor="middle" x="%.0f" y="%d">members</text>`+"\n", s.left+scalingPanel/2, scalingBottom+33)
	for _, c := range curves {
		for i := range laws {
			if laws[i].Name == c.law {
				scalingLine(b, &laws[i], &s, c)
			}
		}
	}
}

// scalingLine draws a law, and what was measured.
func scalingLine(b *bytes.Buffer, l *law, s *scalingScale, c scalingCurve) {
	fmt.Fprintf(b, `<polyline class="l %s" points="`, c.class)
	for e := 1.0; e <= 5; e += 0.05 {
		n := math.Round(math.Pow(10, e))
		fmt.Fprintf(b, "%.1f,%.1f ", s.x(n), s.y(l.at(n)))
	}
	b.WriteString(`"/>`)
	for i, n := range l.Sizes {
		fmt.Fprintf(b, `<circle class="%s" cx="%.1f" cy="%.1f" r="3"/>`, c.class, s.x(n), s.y(l.Measured[i]))
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f">%s</text>`+"\n", s.x(c.at), s.y(l.at(c.at))+c.below, escaped(c.label))
}

// scalingTick is a round number, short.
func scalingTick(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%gM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%gk", v/1e3)
	}
	return fmt.Sprintf("%g", v)
}
