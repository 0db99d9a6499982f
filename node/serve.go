package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// Inline implements transport.Inliner: it looks the method up, for ServeCall
// too, and tells whether its handler never blocks.
func (n *Node) Inline(in *transport.Incoming) bool {
	h := n.handlers.findBytes(in.Method)
	in.Found = h
	// Whether a stand-in serves it takes a question to somebody else.
	return h != nil && h.Spec.Inline() && in.Meta.StandIn == transport.AsOwner
}

// ServeCall serves a call from a peer; it implements transport.Handler.
func (n *Node) ServeCall(in *transport.Incoming) {
	h, looked := in.Found.(*handler)
	if !looked {
		h = n.handlers.findBytes(in.Method)
	}
	if h == nil {
		n.refuseUnserved(in)
		return
	}
	if h.Spec.Streams() != (in.Stream() != nil) {
		refusal := n.refusal(n.view.Load(), "%s is %s", h.Spec.Name(), shapeOf(h.Spec))
		_ = in.Reply(uint64(rpc.Unimplemented), refusal, nil)
		return
	}
	key, ok := n.admit(in, h)
	if !ok {
		return
	}
	if h.Spec.Streams() {
		n.serveStream(in, h, key)
		return
	}
	ticket, refused := n.take(h, rpc.Priority(in.Meta.Priority))
	if refused != nil {
		n.shed(in, refused)
		return
	}
	if !in.Inline() { // such a call is over before anybody could wait for it
		if g := n.enter(); g != nil { // else the endpoint alone counts the call
			defer g.leave()
		}
	}
	s := service{n: n, in: in, h: h, key: key, ticket: ticket, ctx: n.contextOf(in, h, key)}
	n.protect(&s.ctx.Info, s.work, s.end)
}

// shapeOf says how a method is to be called.
func shapeOf(s *rpc.Spec) string {
	if s.Streams() {
		return "a stream, to be opened rather than called"
	}
	return "no stream; it is to be called"
}

// requestOf gives the request in the handler's type. Bytes are handed over as
// they lie in the call's buffer, which is the handler's until it returns.
func (n *Node) requestOf(spec *rpc.Spec, in *transport.Incoming) (any, error) {
	if in.Meta.Encoding != 0 {
		var err error
		if in.Body, err = n.bodies.expand(in.Body, in.Meta.Encoding); err != nil {
			return nil, err
		}
	}
	if spec.RawRequest() {
		return &in.Body, nil
	}
	req, err := spec.DecodeRequest(in.Body)
	if err != nil {
		return nil, rpc.Errorf(rpc.InvalidArgument, "%v", err)
	}
	return req, nil
}

// unencodable logs why a reply cannot be encoded, and returns what its caller gets instead.
func (n *Node) unencodable(h *handler, err error) *rpc.Error {
	n.log.Error().Err(err).Str("method", h.Spec.Name()).Msg("reply cannot be encoded")
	if errors.Is(err, rpc.ResourceExhausted) {
		return rpc.Errorf(rpc.ResourceExhausted, "the reply exceeds the limit of %d bytes", n.bodies.limit).After(rpc.NeverRetry)
	}
	return rpc.Errorf(rpc.Internal, "the reply cannot be encoded")
}

// replyBody sends an encoded reply, compressed if the method says so. Calls with
// a key that the owner serves inline or as it is need no meta, which costs time.
func (n *Node) replyBody(in *transport.Incoming, spec *rpc.Spec, key info, body []byte) {
	how := spec.Compression()
	if len(body) > in.MaxReply() {
		how = rpc.NoCompression // it is refused as it is
	}
	if how == rpc.NoCompression && (key.keyed && key.standIn == transport.AsOwner || in.Inline()) {
		_ = in.Reply(transport.CodeOK, nil, body)
		return
	}
	meta := in.ReplyMeta()
	meta.StandIn, meta.Load = key.standIn, uint32(n.endpoint.Serving())
	if how == rpc.NoCompression {
		_ = in.Reply(transport.CodeOK, meta, body)
		return
	}
	buf := n.buffer()
	defer n.recycle(buf)
	body, *buf, meta.Encoding = n.bodies.shrink(*buf, body, how)
	_ = in.Reply(transport.CodeOK, meta, body)
}

func cut(text string) string { return text[:min(len(text), rpc.MaxMessage)] }

// handlerContext is a context that knows of its call.
type handlerContext interface {
	context.Context
	about() *rpc.Info
}

func (c *servedContext) about() *rpc.Info { return &c.Info }

// admit decides whether this node serves a call, by who carries it for whom and by its key. If
// not, it has answered it.
func (n *Node) admit(in *transport.Incoming, h *handler) (info, bool) {
	// A claim may come from a member whose news has not, and is asked again.
	if (in.Meta.Caller != 0 || len(n.cfg.Server) > 0) && h.Spec != Claim.Spec() {
		n.awaitMember(in)
	}
	if in.Meta.Caller != 0 && !n.believes(in) {
		return info{}, false
	}
	if in.Meta.Partition == transport.NoPartition {
		return info{}, true
	}
	if refusal := n.wrongKey(in.Meta); refusal != nil {
		_ = in.Reply(uint64(rpc.InvalidArgument), refusal, nil)
		return info{}, false
	}
	if in.Meta.StandIn == transport.AsOwner {
		return n.admitOwned(in, h)
	}
	key, alive, refusal := n.admitStandIn(in.Context(), h.Spec, in.Meta)
	switch {
	case alive != nil:
		n.relay(in, alive)
	case refusal != nil:
		_ = in.Reply(uint64(rpc.NotOwner), refusal, nil)
	case key.standIn == transport.AsOwner: // its caller did not know yet
		return n.admitOwned(in, h)
	default:
		return key, true
	}
	return info{}, false
}

// admitOwned decides about a call to an owner, and has it wait while the node is
// not ready to serve what it has just gained.
func (n *Node) admitOwned(in *transport.Incoming, h *handler) (info, bool) {
	for waited := false; ; waited = true {
		v := n.view.Load()
		key, refusal := n.admitKey(v, h.Spec, in.Meta)
		if refusal != nil {
			_ = in.Reply(uint64(rpc.NotOwner), refusal, nil)
			return key, false
		}
		if v.held == nil {
			return key, true
		}
		held := v.holds(key.partition)
		if held == nil {
			return key, true
		}
		if !waited && !in.Inline() {
			n.stats.add(HeldCalls)
		}
		if !n.awaitServing(in, v, held) {
			return key, false
		}
	}
}

// admitKey looks a keyed call up in this node's own table. The refusal names
// the owner that the table gives, if the node has one to trust.
func (n *Node) admitKey(v *view, spec *rpc.Spec, m *transport.Meta) (info, *transport.Meta) {
	if refusal := n.refuseKeyed(v, m); refusal != nil {
		return info{}, refusal
	}
	partition := uint32(m.Partition)
	if owner := v.ownerOf(partition, spec.Name()); owner != n.cfg.Name && !n.cfg.Sim.Planted().ServeForeign {
		return info{}, n.notOwner(v, partition, owner)
	}
	return info{keyed: true, partition: partition}, nil
}

// refuseKeyed is the refusal of a keyed call that this node cannot even look
// up, or nil.
func (n *Node) refuseKeyed(v *view, m *transport.Meta) *transport.Meta {
	partitions := v.table.Params().Partitions
	switch {
	case !v.ready:
		n.stats.add(NotOwnerSent)
		return n.refusal(v, "node %s is not ready: %s", n.cfg.Name, n.why(v))
	case uint64(m.Partition) >= uint64(partitions):
		n.stats.add(NotOwnerSent)
		return n.refusal(v, "partition %d of %d: the table parameters differ", m.Partition, partitions)
	}
	return nil
}

// notOwner is the refusal of a call that another node should get.
func (n *Node) notOwner(v *view, partition uint32, owner string) *transport.Meta {
	n.stats.add(NotOwnerSent)
	refusal := n.refusal(v, "node %s does not own partition %d; by its table %s does", n.cfg.Name, partition, owner)
	refusal.Owner = []byte(owner)
	return refusal
}

// refusal is the meta of a reply that the node itself gives instead of a handler: it says that
// nothing was executed. A handler may fail with the same codes, but its answer does not say so.
func (n *Node) refusal(v *view, format string, args ...any) *transport.Meta {
	m := said(format, args...)
	m.Fingerprint, m.Refused = uint64(v.table.Fingerprint()), true
	return m
}

// said is the meta of a reply that needs words.
func said(format string, args ...any) *transport.Meta {
	return &transport.Meta{Partition: transport.NoPartition, Message: []byte(cut(fmt.Sprintf(format, args...)))}
}
