package compress

import (
	"errors"
	"fmt"
	"strings"
)

// Errors of this package.
var (
	// ErrUnknown: no such algorithm.
	ErrUnknown = errors.New("compress: unknown algorithm")
	// ErrTooLarge: the expanded body exceeds the limit.
	ErrTooLarge = errors.New("compress: expanded size exceeds the limit")
	// ErrCorrupt: the bytes are not what the algorithm gives.
	ErrCorrupt = errors.New("compress: corrupt input")
)

// Algorithm is how a body is compressed. Its numbers travel on the wire: append
// only.
type Algorithm uint8

// The algorithms.
const (
	None Algorithm = iota
	S2             // fast: for networks of a data centre
	Zstd           // smaller, at several times the cost
)

// Algorithms gives all in the order of their numbers.
func Algorithms() []Algorithm { return []Algorithm{None, S2, Zstd} }

// Known tells whether this version knows the algorithm.
func (a Algorithm) Known() bool { return a <= Zstd }

// String is the algorithm's name.
func (a Algorithm) String() string {
	switch a {
	case None:
		return "none"
	case S2:
		return "s2"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("algorithm %d", uint8(a))
}

// Parse gives the algorithm of a name. The error is ErrUnknown and lists the
// names.
func Parse(name string) (Algorithm, error) {
	var names []string
	for _, a := range Algorithms() {
		if a.String() == name {
			return a, nil
		}
		names = append(names, a.String())
	}
	return None, fmt.Errorf("%w %.64q; want one of %s", ErrUnknown, name, strings.Join(names, ", "))
}
