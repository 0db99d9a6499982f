package node

import (
	"unsafe"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// info is what a call says of its key.
type info struct {
	keyed     bool
	partition uint32
	standIn   transport.StandIn // how a node that is not the owner serves it
}

// servedContext is all that a handler gets besides its request, in one
// allocation.
type servedContext struct {
	call transport.CallContext
	rpc.ServerContext
}

// keyedContext is a servedContext with the key of its call, in the same allocation.
type keyedContext struct {
	servedContext
	key [keyRoom]byte
}

// keyRoom is the longest key, in bytes, that a handler is told of without another allocation.
const keyRoom = 40

// contextOf returns a handler's context.
func (n *Node) contextOf(in *transport.Incoming, h *handler, key info) *servedContext {
	ctx, reused := in.Scratch.(*servedContext)
	var room []byte
	if !reused {
		if key.keyed && !in.Inline() && len(in.Meta.Key) <= keyRoom {
			whole := new(keyedContext)
			ctx, room = &whole.servedContext, whole.key[:]
		} else {
			ctx = new(servedContext)
		}
		ctx.Context = &ctx.call
		if in.Inline() {
			in.Scratch = ctx
		}
	}
	in.Bind(&ctx.call)
	ctx.Info = rpc.Info{
		Method: h.Spec.Name(), Peer: in.PeerName(), Metadata: metadataOf(in.Meta.User),
		Keyed: key.keyed, Partition: key.partition, Attempt: int(in.Meta.Attempt),
		Priority: rpc.Priority(in.Meta.Priority),
		Failover: key.standIn == transport.InPlace, Spilled: key.standIn == transport.Spilled,
	}
	if in.Meta.Caller == 0 {
		ctx.Info.Caller = n.noteOf(in).who
	} else {
		ctx.Info.Caller = n.callerOf(in)
	}
	if key.keyed {
		ctx.tellKey(in, room)
	}
	return ctx
}

// tellKey tells the handler its key. That of an inline call stays where it was read, as the
// context is valid only as long; others may be asked for it when the frame is used again, and
// have it in room, if it fits.
func (c *servedContext) tellKey(in *transport.Incoming, room []byte) {
	switch text := in.Meta.Key; {
	case in.Inline():
		c.Info.BorrowKey(text)
	case len(text) <= len(room):
		c.Info.BorrowKey(room[:copy(room, text)])
	default:
		c.Info.SetKey(string(text))
	}
}

// bytesOf returns the bytes of s, which nobody may change.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// wrongKey is the refusal of a call whose partition is not that of its key, or nil. Handlers
// and interceptors decide by the key, while the partition decides who serves it: a caller
// must not be able to have one for another.
func (n *Node) wrongKey(m *transport.Meta) *transport.Meta {
	v := n.view.Load()
	switch partition := v.table.PartitionBytes(m.Key); {
	case len(m.Key) > rpc.MaxKey:
		return n.refusal(v, "a key of %d bytes; want at most %d", len(m.Key), rpc.MaxKey)
	case int64(partition) != m.Partition && m.Partition < int64(v.table.Params().Partitions):
		return n.refusal(v, "the key %.64q is of partition %d, not %d", m.Key, partition, m.Partition)
	}
	return nil
}

func metadataOf(pairs []transport.Pair) rpc.Metadata {
	if len(pairs) == 0 {
		return nil
	}
	m := make(rpc.Metadata, len(pairs))
	for _, p := range pairs {
		m[string(p.Key)] = string(p.Value)
	}
	return m
}
