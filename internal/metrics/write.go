package metrics

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Kind is the type of a family of metrics, in Prometheus's words.
type Kind string

// The kinds.
const (
	KindCounter   Kind = "counter"
	KindGauge     Kind = "gauge"
	KindHistogram Kind = "histogram"
)

// Writer writes metrics in the text format of Prometheus, version 0.0.4. Labels
// are given as names and values in turn.
type Writer struct {
	w    *bufio.Writer
	name string // of the family
	err  error
}

// ContentType is what an HTTP server calls the format.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// NewWriter writes to out. Flush tells whether all went well.
func NewWriter(out io.Writer) *Writer { return &Writer{w: bufio.NewWriter(out)} }

// Flush writes what is left, and gives the first error.
func (w *Writer) Flush() error {
	if err := w.w.Flush(); w.err == nil {
		w.err = err
	}
	return w.err
}

// Family begins a family. All its samples follow.
func (w *Writer) Family(name, help string, kind Kind) {
	w.name = name
	w.printf("# HELP %s %s\n# TYPE %s %s\n", name, strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(help), name, kind)
}

// Counter writes one sample.
func (w *Writer) Counter(v uint64, labels ...string) {
	w.printf("%s%s %d\n", w.name, labelsOf(labels), v)
}

// Gauge writes one sample.
func (w *Writer) Gauge(v float64, labels ...string) {
	w.printf("%s%s %s\n", w.name, labelsOf(labels), number(v))
}

// Histogram writes one histogram in seconds, with a bucket for each power of
// two of microseconds.
func (w *Writer) Histogram(s *Snapshot, labels ...string) {
	var sum uint64
	for i, c := range s.Counts {
		sum += c
		if last := i == Buckets-1; last || i%perOctave == 0 {
			le := "+Inf"
			if !last {
				le = number(UpperBound(i).Seconds())
			}
			w.printf("%s_bucket%s %d\n", w.name, labelsOf(append(labels[:len(labels):len(labels)], "le", le)), sum)
		}
	}
	w.printf("%s_sum%s %s\n", w.name, labelsOf(labels), number(s.Sum.Seconds()))
	w.printf("%s_count%s %d\n", w.name, labelsOf(labels), sum)
}

func (w *Writer) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(w.w, format, args...); w.err == nil {
		w.err = err
	}
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// labelsOf gives {name="value",…}, and nothing without labels.
func labelsOf(labels []string) string {
	if len(labels) == 0 {
		return ""
	}
	var b strings.Builder
	for i := 0; i+1 < len(labels); i += 2 {
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		b.WriteByte(sep)
		b.WriteString(labels[i])
		b.WriteString(`="`)
		_, _ = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).WriteString(&b, strings.ToValidUTF8(labels[i+1], "\uFFFD"))
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String()
}
