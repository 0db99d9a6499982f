package sim

import (
	"fmt"
	"sync"

	"github.com/meshnode/meshnode/rpc"
)

// guarded runs a function of Config. The error says that it panicked, and where.
func guarded(what string, f func()) error {
	_, err := rpc.Guard(func() (any, error) { f(); return nil, nil })
	if p, panicked := err.(*rpc.PanicError); panicked {
		return fmt.Errorf("sim: %s %w\n%s", what, p, p.Stack)
	}
	return nil
}

// tracer hands events to Config.Trace, which runs on goroutines of the network.
type tracer struct {
	trace func(Event)

	mu    sync.Mutex
	fault error // of the first event whose trace panicked
}

func (t *tracer) event(e Event) {
	if err := guarded("Config.Trace", func() { t.trace(e) }); err != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.fault == nil {
			t.fault = err
		}
	}
}

// failed is why the trace is not complete; nil: it is.
func (t *tracer) failed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fault
}
