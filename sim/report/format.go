package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// unit is how a value is written for people.
type unit func(v float64) string

// count writes 104334 as 104,334.
func count(v float64) string { return decimals(v, 0) }

// decimals writes a number with so many digits after the point, and commas
// between thousands.
func decimals(v float64, digits int) string {
	if math.IsNaN(v) || math.Abs(v) >= 1e15 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	whole, fraction, _ := strings.Cut(text, ".")
	sign := ""
	if rest, minus := strings.CutPrefix(whole, "-"); minus {
		sign, whole = "-", rest
	}
	var b strings.Builder
	for i, d := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return sign + b.String() + fraction
}

// threeDigits writes 0.42, 12.4 and 1,234.
func threeDigits(v float64) string {
	switch size := math.Abs(v); {
	case size < 9.995:
		return decimals(v, 2)
	case size < 99.95:
		return decimals(v, 1)
	}
	return decimals(v, 0)
}

func seconds(v float64) string {
	if v != 0 && math.Abs(v) < 0.9995 {
		return threeDigits(v*1e3) + " ms"
	}
	return threeDigits(v) + " s"
}

// clock writes a time since the start, whose tenths matter however late it is.
func clock(v float64) string { return decimals(v, 1) + " s" }

func millis(v float64) string { return threeDigits(v) + " ms" }

func bytesPerS(v float64) string { return count(v) + " B/s" }

func perS(v float64) string { return threeDigits(v) + "/s" }

func times(v float64) string { return threeDigits(v) + "×" }

func mebibytes(v float64) string { return threeDigits(v) + " MiB" }

// percent writes 0.98234 as 98.234%. It rounds down, so that 100% means all.
func percent(v float64) string {
	if v == 0 || v == 1 {
		return count(100*v) + "%"
	}
	return decimals(math.Floor(100e3*v+1e-6)/1e3, 3) + "%"
}

// share writes a part that should be 0. It rounds up, so that 0% means none.
func share(v float64) string {
	if v == 0 || v == 1 {
		return count(100*v) + "%"
	}
	return decimals(math.Ceil(100e3*v-1e-6)/1e3, 3) + "%"
}

// plural counts things: 1 call, 5 calls.
func plural[T int | uint64](n T, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(float64(n)) + " " + many
}

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

// list names the first few and counts the rest.
func list(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %s more", strings.Join(names[:most], ", "), count(float64(len(names)-most)))
}
