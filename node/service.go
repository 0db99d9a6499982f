package node

import (
	"time"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// service is a call from a peer while it is served.
//
// Invariant: end runs exactly once, whatever the user's code in work does, so the call is answered
// and what it took is given back.
type service struct {
	n      *Node
	in     *transport.Incoming
	h      *handler
	key    info
	ticket ticket
	ctx    *servedContext

	began  bool // the request is decoded: the handler, or an interceptor, may have run
	watch  watch
	body   []byte  // the encoded reply
	buffer *[]byte // what body lies in, to be recycled; may be nil
}

// work is all that may run code of the user's: it decodes the request, runs the handler and
// encodes the reply.
func (s *service) work() (any, error) {
	req, err := s.n.requestOf(s.h.Spec, s.in)
	if err != nil {
		return nil, err
	}
	s.began, s.watch = true, s.n.startWatch(s.h)
	reply, err := s.n.handle(s.ctx, s.h, req)
	if err != nil || s.in.OneWay() {
		return nil, err
	}
	if body, ok := reply.(*[]byte); ok && body != nil && s.h.Spec.RawReply() {
		s.body = *body
		return nil, nil
	}
	s.buffer = s.n.buffer()
	if s.body, err = s.h.Spec.EncodeReply((*s.buffer)[:0], reply, s.n.bodies.guard()); err != nil {
		return nil, s.n.unencodable(s.h, err)
	}
	*s.buffer = s.body
	return nil, nil
}

// end answers the call, however work ended, and gives back what it took.
func (s *service) end(_ any, e *rpc.Error) {
	n, in := s.n, s.in
	if s.began {
		s.watch.stop(e)
	} else {
		n.stats.add(BadBodies)
	}
	n.giveBack(s.ctx, s.ticket, e)
	switch {
	case in.OneWay():
	case !s.began:
		refusal := n.refusal(n.view.Load(), "request of %s: %s", s.h.Spec.Name(), e.Message)
		_ = in.Reply(uint64(e.Code), refusal, nil)
	case e != nil:
		_ = in.Reply(uint64(e.Code), failure(s.key, e), e.Detail)
	default:
		n.replyBody(in, s.h.Spec, s.key, s.body)
	}
	if s.buffer != nil {
		n.recycle(s.buffer)
	}
	if in.Inline() { // whose context ends with its handler
		if s.ctx.call.Reset() {
			s.ctx.Info.Metadata = nil
			s.ctx.Info.SetKey("")
		} else { // somebody may still look at it
			in.Scratch = nil
		}
	}
}

// failure is the meta of a handler's error.
func failure(key info, e *rpc.Error) *transport.Meta {
	return &transport.Meta{
		Partition: transport.NoPartition, Message: []byte(e.Message), StandIn: key.standIn, Pushback: e.Pushback(),
	}
}

// watch times one run of a handler. Handlers that are inline take less time than looking at the
// clock.
type watch struct {
	n     *Node
	h     *handler
	start time.Duration
}

func (n *Node) startWatch(h *handler) watch {
	w := watch{n: n, h: h}
	if !h.Spec.Inline() {
		w.start = n.since()
	}
	return w
}

// stop counts the call by how it ended.
func (w *watch) stop(e *rpc.Error) {
	if !w.h.Spec.Inline() {
		w.h.stats.running.Observe(w.n.since() - w.start)
	}
	code := rpc.OK
	if e != nil {
		code = e.Code
	}
	w.h.stats.served.add(code)
}
