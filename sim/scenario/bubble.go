package scenario

import (
	"sync"
	"time"

	"github.com/meshnode/meshnode/internal/simtime"
)

// progressPeriod is how often Options.Progress is called.
const progressPeriod = 100 * time.Millisecond

// insidePeriod is how often Options.Progress is called where only virtual time is.
const insidePeriod = time.Second

// tellInside tells how far the run is, by its own clock.
func (o *Options) tellInside(total time.Duration) (stop func()) {
	end := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		ticker := time.NewTicker(insidePeriod)
		defer ticker.Stop()
		for start := time.Now(); ; {
			select {
			case <-ticker.C:
				o.Progress(time.Since(start), total)
			case <-end:
				return
			}
		}
	})
	return func() {
		close(end)
		telling.Wait()
	}
}

// bubble runs f in virtual time, and tells from outside how far it is.
func (o *Options) bubble(s *Scenario, f func()) error {
	stalled := o.Stalled
	if stalled == nil {
		stalled = func(err error, stacks []byte) { panic(err.Error() + "\n" + string(stacks)) }
	}
	w := simtime.Watch(o.Stall, func(s *simtime.Stalled) { stalled(s, s.Stacks) })
	defer w.Stop()
	if o.Progress != nil && simtime.Virtual {
		end := make(chan struct{})
		var telling sync.WaitGroup
		telling.Go(func() {
			ticker := time.NewTicker(progressPeriod)
			defer ticker.Stop()
			for {
				select {
				case <-ticker.C:
					o.Progress(w.At(), s.Duration.D())
				case <-end:
					return
				}
			}
		})
		defer telling.Wait()
		defer close(end)
	}
	return simtime.Run(func() {
		defer w.Pulse()()
		if o.Progress != nil && !simtime.Virtual { // there is no outside
			defer o.tellInside(s.Duration.D())()
		}
		f()
	})
}
