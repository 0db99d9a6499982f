package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// table lays out columns for people.
type table struct {
	head  []string
	right []bool // by column: numbers go to the right
	rows  [][]string
}

// newTable takes the heads of columns; one that begins with ">" goes to the
// right.
func newTable(heads ...string) *table {
	t := &table{}
	for _, head := range heads {
		name, right := strings.CutPrefix(head, ">")
		t.head = append(t.head, name)
		t.right = append(t.right, right)
	}
	return t
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// lines gives the head and the rows, without blanks at their ends.
func (t *table) lines() []string {
	all := append([][]string{t.head}, t.rows...)
	widths := make([]int, len(t.head))
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	lines := make([]string, len(all))
	for i, row := range all {
		var b strings.Builder
		for col, cell := range row {
			if col > 0 {
				b.WriteString("  ")
			}
			blanks := strings.Repeat(" ", widths[col]-utf8.RuneCountInString(cell))
			if t.right[col] {
				b.WriteString(blanks + cell)
			} else {
				b.WriteString(cell + blanks)
			}
		}
		lines[i] = strings.TrimRight(b.String(), " ")
	}
	return lines
}

// thousands writes 104334 as 104,334.
func thousands[T int | int64 | uint64](n T) string {
	digits := strconv.FormatInt(int64(n), 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// plural counts things: 1 process, 5 processes.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return thousands(n) + " " + many
}

// listed names the first of many.
func listed(names []string, most int) string {
	text := strings.Join(names[:min(len(names), most)], ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %s more", thousands(more))
	}
	return text
}

// percent writes 0.2013 as 20.1%.
func percent(fraction float64) string { return strconv.FormatFloat(100*fraction, 'f', 1, 64) + "%" }

// brief writes a duration with three digits or so.
func brief(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.2f ms", d.Seconds()*1e3)
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// age writes how old something is: 42s, 3m12s, 5h07m, 12d03h.
func age(seconds float64) string {
	s := int64(max(seconds, 0))
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s%3600/60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s%86400/3600)
}

// bar draws a fraction from 0 to 1 of so many columns.
func bar(fraction float64, columns int) string {
	eighths := int(fraction*float64(columns)*8 + 0.5)
	eighths = min(max(eighths, 0), 8*columns)
	drawn := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		drawn += string([]rune(" ▏▎▍▌▋▊▉")[rest])
	}
	return drawn
}

// barWidth is how long the bar of all keys would be, in columns.
const barWidth = 40

// oneLine makes text of others harmless to a terminal: control characters and
// line ends become blanks.
func oneLine(text string) string {
	clean := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	return strings.Join(strings.Fields(clean), " ")
}

// printable gives a key as it is, or quoted if a terminal would stumble on it.
func printable(key string) string {
	if key == "" || key != oneLine(key) {
		return strconv.Quote(key)
	}
	return key
}

// shorten cuts a line to so many columns.
func shorten(line string, columns int) string {
	if utf8.RuneCountInString(line) <= columns {
		return line
	}
	return string([]rune(line)[:max(columns-1, 0)]) + "…"
}
