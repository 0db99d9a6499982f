package node

import (
	"context"
	"sync"
	"time"

	"github.com/meshnode/meshnode/internal/admission"
	"github.com/meshnode/meshnode/internal/metrics"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// Admission turns on a limit of the calls that a node serves at a time, which
// finds itself, one for each service. Calls beyond it are refused at once with
// ResourceExhausted and a time after which to try again, sheddable ones first and
// critical ones last; nothing of them was executed. Inline methods, streams,
// methods that are rpc.Unlimited and the mesh's own are not limited.
type Admission struct {
	Adaptive bool
	// Bounds of the limit, and where it begins. Zero: 4, 64 and 8192.
	Min, Initial, Max int
}

// limiters are one for each service: what shares a name shares resources.
type limiters struct {
	mu  sync.Mutex
	all map[string]*admission.Limiter
}

// classOf gives what a method's calls are limited by; nil: nothing.
func (n *Node) classOf(spec *rpc.Spec) *admission.Class {
	service := serviceOf(spec.Name())
	if !n.cfg.Admission.Adaptive || spec.Inline() || spec.Streams() || spec.Unlimited() || service == "mesh" {
		return nil
	}
	n.limiters.mu.Lock()
	defer n.limiters.mu.Unlock()
	l := n.limiters.all[service]
	if l == nil {
		a := n.cfg.Admission
		l = admission.New(admission.Config{Min: a.Min, Initial: a.Initial, Max: a.Max})
		if n.limiters.all == nil {
			n.limiters.all = make(map[string]*admission.Limiter)
		}
		n.limiters.all[service] = l
	}
	return l.Class()
}

// each gives the limiters by service.
func (l *limiters) each(yield func(service string, limiter *admission.Limiter)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for service, limiter := range l.all {
		yield(service, limiter)
	}
}

// ticket is a call that was let in; the zero value is one that is not limited.
type ticket struct {
	class *admission.Class
	began time.Duration
}

// take lets a call in, or gives the error of one that is refused.
func (n *Node) take(h *handler, p rpc.Priority) (ticket, *rpc.Error) {
	if h.class == nil {
		return ticket{}, nil
	}
	ok, after := h.class.Acquire(admission.Priority(p))
	if !ok {
		n.stats.add(Shed)
		e := rpc.Errorf(rpc.ResourceExhausted, "node %s has as many calls of %s as it can serve", n.cfg.Name, serviceOf(h.Spec.Name()))
		e.RetryAfter = after
		return ticket{}, e
	}
	return ticket{h.class, n.since()}, nil
}

// giveBack ends a call that was let in.
func (n *Node) giveBack(ctx context.Context, t ticket, e *rpc.Error) {
	if t.class == nil {
		return
	}
	now := n.since()
	t.class.Release(now, now-t.began, outcomeOf(ctx, e))
}

// outcomeOf tells what a call says about the time that its like takes.
func outcomeOf(ctx context.Context, e *rpc.Error) admission.Outcome {
	due, bounded := ctx.Deadline()
	switch {
	case ctx.Err() != nil || bounded && !time.Now().Before(due):
		return admission.Late
	case e == nil:
		return admission.Done
	}
	switch e.Code {
	case rpc.DeadlineExceeded:
		return admission.Late
	case rpc.InvalidArgument, rpc.PermissionDenied, rpc.Unauthenticated, rpc.NotOwner, rpc.ResourceExhausted, rpc.Unimplemented:
		return admission.Ignored // said before the work was done
	}
	return admission.Done
}

// shed answers a call that is refused.
func (n *Node) shed(in *transport.Incoming, e *rpc.Error) {
	refusal := n.refusal(n.view.Load(), "%s", e.Message)
	refusal.Pushback = e.Pushback()
	_ = in.Reply(uint64(e.Code), refusal, nil)
}

// writeAdmission writes the limits.
func (n *Node) writeAdmission(w *metrics.Writer) {
	w.Family("meshnode_admission_limit", "Calls of a service that this node serves at most at a time, as adaptive admission has found it. A fall means that the service got slower.", metrics.KindGauge)
	n.limiters.each(func(service string, l *admission.Limiter) { w.Gauge(float64(l.Limit()), "service", service) })
	w.Family("meshnode_admission_inflight", "Calls of a service that this node is serving now. At meshnode_admission_limit it is as busy as it can be.", metrics.KindGauge)
	n.limiters.each(func(service string, l *admission.Limiter) { w.Gauge(float64(l.InFlight()), "service", service) })
	w.Family("meshnode_admission_refused_total", "Calls of a service refused because meshnode_admission_limit was reached, by priority. A rise means overload.", metrics.KindCounter)
	n.limiters.each(func(service string, l *admission.Limiter) {
		for _, p := range []rpc.Priority{rpc.PriorityDefault, rpc.Critical, rpc.Sheddable} {
			w.Counter(l.Refused(admission.Priority(p)), "service", service, "priority", p.String())
		}
	})
}
