//go:build !wasip1

package simtime

import (
	"fmt"
	"runtime/debug"
	"testing"
	"testing/synctest"
)

// Run runs f in virtual time and waits for all goroutines that it started. A
// panic of f, or goroutines that wait for each other, give an error.
func Run(f func()) (err error) {
	defer func() {
		if r := recover(); r != nil { // the bubble's own: a deadlock
			err = fmt.Errorf("simulation: %v", r)
		}
	}()
	var t testing.T
	synctest.Test(&t, func(*testing.T) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("simulation: panic: %v\n%s", r, debug.Stack())
			}
		}()
		f()
	})
	return err
}

// Virtual tells whether Run makes time virtual, rather than finding it so.
const Virtual = true
