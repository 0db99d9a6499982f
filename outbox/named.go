package outbox

import (
	"errors"

	"github.com/meshnode/meshnode/internal/ledger"
)

// namedError is an error of the ledger that is one of this package's as well. It says
// no more than the ledger's.
type namedError struct{ err, kind error }

func (e *namedError) Error() string   { return e.err.Error() }
func (e *namedError) Unwrap() []error { return []error{e.err, e.kind} }

// named gives an error of opening a ledger the name that callers know it by.
func named(err error) error {
	for _, pair := range [][2]error{
		{ledger.ErrCorrupt, ErrCorrupt},
		{ledger.ErrNewerFormat, ErrNewerFormat},
	} {
		if errors.Is(err, pair[0]) {
			return &namedError{err, pair[1]}
		}
	}
	return err
}
