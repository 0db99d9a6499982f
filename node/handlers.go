package node

import (
	"fmt"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/meshnode/meshnode/internal/admission"
	"github.com/meshnode/meshnode/rpc"
)

// handlers are the methods that a node serves. Reading is lock-free: the map
// is replaced, never changed.
type handlers struct {
	mu  sync.Mutex // serialises add
	all atomic.Pointer[map[string]*handler]
}

// handler is a method's handler with its counters.
type handler struct {
	*rpc.Handler
	stats *methodStats
	class *admission.Class // what limits its calls; nil: nothing
}

func (h *handlers) add(one *handler) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := make(map[string]*handler)
	if old := h.all.Load(); old != nil {
		maps.Copy(next, *old)
	}
	name := one.Spec.Name()
	if next[name] != nil {
		return fmt.Errorf("node: method %q has a handler already", name)
	}
	next[name] = one
	h.all.Store(&next)
	return nil
}

// find gives the handler of a method, or nil.
func (h *handlers) find(name string) *handler {
	if all := h.all.Load(); all != nil {
		return (*all)[name]
	}
	return nil
}

// findBytes is find without making a string of name.
func (h *handlers) findBytes(name []byte) *handler {
	if all := h.all.Load(); all != nil {
		return (*all)[string(name)]
	}
	return nil
}
