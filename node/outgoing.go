package node

import (
	"maps"
	"time"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// outgoing is one call on its way, over all its attempts.
type outgoing struct {
	n       *Node
	call    *rpc.Call
	due     time.Time
	left    time.Duration // until due, for the first attempt; 0: look at the clock
	endless bool          // a stream without a deadline: due bounds its opening only
	body    []byte        // the encoded request, once encoded
	encoded bool
	buffer  *[]byte // what body lies in, to be recycled; nil: it is the caller's
	small   []byte  // body as it is sent, if it is compressed
	how     uint8   // its encoding
	sent    int     // attempts so far
	pauses  int     // waited so far
	last    error   // why the latest attempt failed

	stats    *methodStats
	began    time.Duration // since the node's start
	endedAt  time.Duration // when the last attempt did, if it was answered
	hedge    *hedge        // the two attempts of which this is one; may be nil
	repeats  int           // sent again though that adds to the load
	waited   bool          // for a partition that this node has just gained
	nested   bool          // it serves a call that was itself sent again
	answer   *rpc.Error    // the latest error that a node answered with
	refused  bool          // that node refused it before any handler ran
	unheard  error         // an answer of this node to a one-way call, whose sender does not hear it
	limit    int           // length of the longest request that the latest peer takes, in bytes
	priority rpc.Priority
	isHedge  bool              // a second attempt beside another
	lost     loss              // how the latest attempt lost its peer
	served   transport.StandIn // how the latest reply says that it was served
	reached  bool              // an attempt may have been executed
	victims  *victims          // processes that may have gone down under the call; nil: none
}

// encode encodes the request once for all attempts. Bytes are sent from where
// they are.
func (o *outgoing) encode() error {
	if o.encoded {
		return nil
	}
	if o.call.Spec.RawRequest() {
		if b, ok := o.call.Req.(*[]byte); ok && b != nil {
			o.body, o.encoded = *b, true
			return nil
		}
	}
	buf := o.n.buffer()
	b, err := o.call.Spec.EncodeRequest((*buf)[:0], o.call.Req, o.n.bodies.guard())
	if err != nil {
		o.n.recycle(buf)
		return err
	}
	*buf = b
	o.body, o.buffer, o.encoded = b, buf, true
	return nil
}

// shrunk gives the encoded request as it is sent, compressed once for all
// attempts.
func (o *outgoing) shrunk(how rpc.Compression) []byte {
	if how == rpc.NoCompression {
		return o.body
	}
	if o.small == nil {
		o.small, _, o.how = o.n.bodies.shrink(nil, o.body, how)
	}
	return o.small
}

// tooLong is the error of a request that is longer than a peer takes it. Both lengths are in bytes,
// before compression.
func tooLong(spec *rpc.Spec, length, limit int, peer string) *rpc.Error {
	return rpc.Errorf(rpc.ResourceExhausted, "the request of %s (%d bytes) exceeds the limit of %d bytes for calls to %s",
		spec.Name(), length, limit, peer).After(rpc.NeverRetry)
}

// end gives back what the call took, and notes whether it may have been executed.
func (o *outgoing) end() {
	if o.reached {
		o.call.MarkReached()
	}
	if o.buffer != nil {
		o.n.recycle(o.buffer)
	}
}

// copyOf returns metadata as they arrive at a peer.
func copyOf(m rpc.Metadata) rpc.Metadata {
	if len(m) == 0 {
		return nil
	}
	return maps.Clone(m)
}

func pairsOf(m rpc.Metadata) []transport.Pair {
	if len(m) == 0 {
		return nil
	}
	pairs := make([]transport.Pair, 0, len(m))
	for k, v := range m {
		pairs = append(pairs, transport.Pair{Key: []byte(k), Value: []byte(v)})
	}
	return pairs
}

// keepBuffer is the largest encoding buffer kept for reuse, in bytes.
const keepBuffer = 64 << 10

// buffer gives an empty buffer to encode into; recycle takes it back.
func (n *Node) buffer() *[]byte {
	if b, ok := n.buffers.Get().(*[]byte); ok {
		return b
	}
	return new([]byte)
}

func (n *Node) recycle(b *[]byte) {
	if cap(*b) <= keepBuffer {
		n.buffers.Put(b)
	}
}

// fate is what became of one attempt.
type fate uint8

const (
	done      fate = iota // answered: with a reply, or an error that stands
	unsent                // provably not executed: may be sent again
	redirect              // not executed, and the peer named the owner
	missing               // not executed: the peer serves no such method
	ambiguous             // nobody knows whether it was executed
)
