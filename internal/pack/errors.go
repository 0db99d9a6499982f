package pack

import (
	"errors"
	"fmt"
	"strings"

	"github.com/meshnode/meshnode/internal/wire"
)

// PathError is an error with the place in the value where it happened, such as
// Items[3].Count.
type PathError struct {
	path string // ".Items[3].Count"
	Err  error
}

// Error implements error.
func (e *PathError) Error() string { return e.Path() + ": " + e.Err.Error() }

// Path is the place: names of fields, indexes and keys.
func (e *PathError) Path() string { return strings.TrimPrefix(e.path, ".") }

// Unwrap returns the error without its place.
func (e *PathError) Unwrap() error { return e.Err }

// at puts one step in front of the error's path: ".Name" or "[3]". Errors about
// the value as a whole stay as they are.
func at(err error, step string) error {
	if p, ok := err.(*PathError); ok {
		p.path = step + p.path
		return p
	}
	for _, whole := range []error{
		wire.ErrTooDeep, wire.ErrTooLarge, wire.ErrTruncated, wire.ErrLength, wire.ErrMalformed, wire.ErrTrailing,
	} {
		if errors.Is(err, whole) {
			return err
		}
	}
	return &PathError{path: step, Err: err}
}

// atField, atIndex and atKey are at for the parts of structs, lists and maps.
func atField(err error, name string) error { return at(err, "."+name) }

func atIndex(err error, i int) error { return at(err, fmt.Sprintf("[%d]", i)) }

// longestKey is how much of a map's key stands in a path, in bytes.
const longestKey = 40

func atKey(err error, key any) error {
	if s, ok := key.(string); ok {
		return at(err, fmt.Sprintf("[%.*q]", longestKey, s))
	}
	text := fmt.Sprint(key)
	return at(err, "["+text[:min(len(text), longestKey)]+"]")
}

// misfit is a value of another kind than its place wants.
func misfit(code byte, want string) error {
	return fmt.Errorf("%s where %s goes", kindOf(code), want)
}

// kindOf is what a value is that begins with code.
func kindOf(code byte) string {
	switch {
	case code < 0x80 || code >= 0xe0 || code >= 0xcc && code <= 0xd3:
		return "an integer"
	case code < 0x90 || code == 0xde || code == 0xdf:
		return "a map"
	case code < 0xa0 || code == 0xdc || code == 0xdd:
		return "an array"
	case code < 0xc0 || code >= 0xd9 && code <= 0xdb:
		return "a string"
	case code == 0xc0:
		return "nil"
	case code == 0xc2 || code == 0xc3:
		return "a bool"
	case code >= 0xc4 && code <= 0xc6:
		return "binary"
	case code == 0xca || code == 0xcb:
		return "a float"
	case code == 0xc1:
		return "no msgpack"
	}
	return "an extension value"
}
