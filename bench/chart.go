package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
)

// What the chart shows, and how it is laid out, in pixels.
const (
	chartSize  = 64 // bytes
	chartWidth = 720
	chartLeft  = 96  // where bars begin
	chartRight = 160 // kept free for figures
	chartBar   = 14
	chartStep  = 20
)

// chartStyle holds in light and dark surroundings: text and bars are tones
// that stand out on both, and change where the viewer says which it is.
const chartStyle = `text{font:12px system-ui,sans-serif;fill:#57606a}.h{font-weight:600;font-size:13px}` +
	`.n{text-anchor:end}.mesh{fill:#1f7ae0}.other{fill:#8c959f}.limit{fill:#c3a13b}` +
	`@media(prefers-color-scheme:dark){text{fill:#c9d1d9}.mesh{fill:#4b9bff}.other{fill:#6e7681}.limit{fill:#d4b44a}}`

// drawChart gives an SVG of horizontal bars: calls/s at 64 B, a panel for each
// number of callers above 1 that was measured.
func drawChart(rows []row) ([]byte, error) {
	var panels [][]row
	for _, r := range rows {
		if r.Size != chartSize || r.Callers == 1 {
			continue
		}
		if n := len(panels); n == 0 || panels[n-1][0].Callers != r.Callers {
			panels = append(panels, nil)
		}
		panels[len(panels)-1] = append(panels[len(panels)-1], r)
	}
	if len(panels) == 0 {
		return nil, errors.New("the chart shows 64 B with several callers, and that was not measured")
	}
	var bars bytes.Buffer
	y := 8
	for _, panel := range panels {
		y = drawPanel(&bars, panel, y)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img">`,
		chartWidth, y)
	fmt.Fprintf(&b, "\n<title>Calls per second, echo of %d bytes</title>\n<style>%s</style>\n",
		chartSize, chartStyle)
	b.Write(bars.Bytes())
	b.WriteString("</svg>\n")
	return b.Bytes(), nil
}

// drawPanel draws rows, the fastest first, below y, and gives where it ended.
func drawPanel(b *bytes.Buffer, rows []row, y int) int {
	fmt.Fprintf(b, `<text class="h" x="%d" y="%d">%s</text>`+"\n", chartLeft, y+14,
		escaped(fmt.Sprintf("%s, calls/s (of the limit)", callersText(rows[0].Callers))))
	y += 24
	most := 0.0
	for _, r := range rows {
		most = max(most, r.Calls)
	}
	for _, r := range rows {
		width := max(r.Calls/most*(chartWidth-chartLeft-chartRight), 1)
		figure := grouped(r.Calls)
		if r.Ratio != 0 {
			figure += fmt.Sprintf(" (%s)", fraction(r.Ratio))
		}
		fmt.Fprintf(b, `<text class="n" x="%d" y="%d">%s</text>`, chartLeft-8, y+12, escaped(r.Peer))
		fmt.Fprintf(b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`,
			barClass(r.Peer), chartLeft, y+1, width, chartBar)
		fmt.Fprintf(b, `<text x="%.1f" y="%d">%s</text>`+"\n", chartLeft+width+6, y+12, escaped(figure))
		y += chartStep
	}
	return y + 12
}

func barClass(peer string) string {
	switch {
	case peer == limitName:
		return "limit"
	case strings.HasPrefix(peer, "mesh-"):
		return "mesh"
	}
	return "other"
}

func escaped(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a buffer takes everything
	return b.String()
}
