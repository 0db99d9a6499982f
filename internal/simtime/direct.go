//go:build wasip1

package simtime

import (
	"fmt"
	"runtime/debug"
)

// Run runs f; the host's clock is virtual. A panic of f gives an error.
func Run(f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("simulation: panic: %v\n%s", r, debug.Stack())
		}
	}()
	f()
	return nil
}

// Virtual tells whether Run makes time virtual, rather than finding it so.
const Virtual = false
