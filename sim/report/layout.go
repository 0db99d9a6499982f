package report

import (
	"io"
	"strings"
	"unicode/utf8"
)

// sheet collects lines for a terminal. Nothing on it is wider than columns,
// except for commands, which are there to be copied, and single long words.
type sheet struct {
	b        strings.Builder
	columns  int
	coloured bool
}

func newSheet(columns int, styles []Style) *sheet {
	if columns <= 0 {
		columns = 80
	}
	s := &sheet{columns: max(columns, 40)}
	for _, style := range styles {
		s.coloured = s.coloured || style == Coloured
	}
	return s
}

// Colours, as terminals take them.
const (
	bold  = "\x1b[1m"
	red   = "\x1b[1;31m"
	green = "\x1b[32m"
	plain = "\x1b[0m"
)

func (s *sheet) line(text string) { s.b.WriteString(strings.TrimRight(text, " ") + "\n") }

// painted is a line in one colour.
func (s *sheet) painted(colour, text string) {
	if s.coloured {
		text = colour + text + plain
	}
	s.line(text)
}

// wrapped writes words that begin after lead and go on below their beginning.
func (s *sheet) wrapped(lead, text string) {
	indent := utf8.RuneCountInString(lead)
	for i, part := range wrap(text, max(s.columns-indent, 20)) {
		if i > 0 {
			lead = strings.Repeat(" ", indent)
		}
		s.line(lead + part)
	}
}

func (s *sheet) writeTo(w io.Writer) error {
	_, err := io.WriteString(w, s.b.String())
	return err
}

// wrap breaks text between words. It gives one line at least.
func wrap(text string, columns int) []string {
	var lines []string
	line, width := "", 0
	for _, word := range strings.Fields(text) {
		long := utf8.RuneCountInString(word)
		if width > 0 && width+1+long > columns {
			lines = append(lines, line)
			line, width = "", 0
		}
		if width > 0 {
			line, width = line+" ", width+1
		}
		line, width = line+word, width+long
	}
	return append(lines, line)
}

// left and right fill text with blanks to so many columns.
func left(text string, columns int) string {
	return text + strings.Repeat(" ", max(columns-utf8.RuneCountInString(text), 0))
}

func right(text string, columns int) string {
	return strings.Repeat(" ", max(columns-utf8.RuneCountInString(text), 0)) + text
}

// widest gives the columns that the widest text takes.
func widest(texts ...string) int {
	n := 0
	for _, text := range texts {
		n = max(n, utf8.RuneCountInString(text))
	}
	return n
}
