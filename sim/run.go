package sim

import (
	"time"

	"github.com/meshnode/meshnode/internal/simtime"
)

// aftermath is for what ends by itself once f has returned, such as probes of nodes
// that are closed: in a bubble time stands still when its first goroutine is over.
const aftermath = time.Minute

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
		time.Sleep(aftermath)
	})
}
