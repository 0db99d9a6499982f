package sim

import (
	"github.com/meshnode/meshnode/internal/simtime"
)

// Run runs f in virtual time, in any program, and waits for all goroutines that
// it started. A panic of f, or goroutines that wait for each other for ever, give
// an error. cfg is what f will make its cluster of; Run looks at Config.Stall only.
//
// When virtual time stands still, stalled is told why, with the stacks of all
// goroutines, on a goroutine outside of the simulation. The run cannot be ended
// then; stalled should end the program. Nil panics.
func Run(cfg Config, stalled func(err error, stacks []byte), f func()) error {
	if stalled == nil {
		stalled = func(err error, stacks []byte) { panic(err.Error() + "\n" + string(stacks)) }
	}
	w := simtime.Watch(cfg.Stall, func(s *simtime.Stalled) { stalled(s, s.Stacks) })
	defer w.Stop()
	return simtime.Run(func() {
		defer w.Pulse()()
		f()
	})
}
