package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// writeTables prints a table for each size and number of callers, in the order
// of the rows.
func writeTables(w io.Writer, rows []row) error {
	var b bytes.Buffer
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].Size == rows[0].Size && rows[n].Callers == rows[0].Callers {
			n++
		}
		fmt.Fprintf(&b, "%s, %s\n", sizeText(rows[0].Size), callersText(rows[0].Callers))
		writeTable(&b, rows[:n])
		if rows = rows[n:]; len(rows) > 0 {
			b.WriteByte('\n')
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// writeTable aligns names to the left and figures to the right.
func writeTable(b *bytes.Buffer, rows []row) {
	lines := [][]string{{"peer", "calls/s", "p50 µs", "p99 µs", "CPU µs/call", "allocs/call", "of the limit"}}
	for _, r := range rows {
		lines = append(lines, []string{
			r.Peer, grouped(r.Calls), short(r.P50), short(r.P99), short(r.CPU),
			strconv.FormatFloat(r.Allocs, 'f', 1, 64), fraction(r.Ratio),
		})
	}
	align(b, lines)
}

// align writes lines of equally many fields as columns.
func align(b *bytes.Buffer, lines [][]string) {
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, field := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(field))
		}
	}
	for _, line := range lines {
		for i, field := range line {
			gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(field))
			if i == 0 {
				b.WriteString(field + gap)
			} else {
				b.WriteString("  " + gap + field)
			}
		}
		b.WriteByte('\n')
	}
}

// writeJSON prints rows as an array.
func writeJSON[T any](w io.Writer, rows []T) error {
	if rows == nil {
		rows = []T{}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(rows)
}

func sizeText(size int) string {
	if size >= 1024 && size%1024 == 0 {
		return fmt.Sprintf("%d KiB", size/1024)
	}
	return fmt.Sprintf("%d B", size)
}

func callersText(n int) string {
	if n == 1 {
		return "1 caller"
	}
	return fmt.Sprintf("%d callers", n)
}

// grouped gives a whole number with a comma between groups of three digits.
func grouped(v float64) string {
	s := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// short gives three digits, or all before the point; "-" for what is not known.
func short(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return grouped(v)
}

func fraction(v float64) string {
	if v == 0 {
		return "-"
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}
