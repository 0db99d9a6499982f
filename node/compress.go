package node

import (
	"errors"

	"github.com/meshnode/meshnode/internal/compress"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// minCompressed is the smallest body that is worth compressing, in bytes.
const minCompressed = 512

// bodies compresses and expands the bodies of one node or client.
//
// Invariant: what it expands is at most limit bytes long, whatever the peer
// sent.
type bodies struct {
	codec compress.Codec
	limit int
}

// guard is how many bytes a value may take while it is encoded. That is more than
// the limit: what is somewhat too long is refused by who knows both lengths and
// the peer. What grows beyond it may never end.
func (b *bodies) guard() int { return min(2*b.limit, rpc.MaxBody) }

// shrink gives a body as it is to be sent, and how it is encoded. buf is where
// it may be put; it is given back for reuse, grown perhaps.
func (b *bodies) shrink(buf []byte, body []byte, how rpc.Compression) (sent, grown []byte, encoding uint8) {
	if how == rpc.NoCompression || len(body) < minCompressed {
		return body, buf, 0
	}
	small, err := b.codec.Append(buf[:0], body, compress.Algorithm(how))
	if err != nil || len(small) >= len(body) {
		return body, buf, 0
	}
	return small, small, uint8(how)
}

// expand gives a body as it was before shrink.
func (b *bodies) expand(body []byte, encoding uint8) ([]byte, error) {
	if encoding == 0 {
		return body, nil
	}
	out, err := b.codec.Expand(nil, body, compress.Algorithm(encoding), b.limit)
	switch {
	case errors.Is(err, compress.ErrTooLarge):
		return nil, rpc.Errorf(rpc.ResourceExhausted, "the compressed body expands to more than %d bytes", b.limit)
	case err != nil:
		return nil, rpc.Errorf(rpc.InvalidArgument, "the compressed body cannot be expanded: %v", err)
	}
	return out, nil
}

// decodeReply gives a reply in the method's type. Long bytes are not copied, nor
// what lies in the caller's memory.
func (b *bodies) decodeReply(call *rpc.Call, reply *transport.Reply) (any, error) {
	spec := call.Spec
	if encoding := reply.Meta.Encoding; encoding != 0 {
		body, err := b.expand(reply.Body, encoding)
		if err != nil {
			return nil, err
		}
		if spec.RawReply() {
			return &body, nil
		}
		return spec.DecodeReply(body)
	}
	if spec.RawReply() {
		if call.Into != nil {
			return call.Into, nil
		}
		if body, taken := reply.TakeBody(); taken {
			kept := body // only a taken one is worth an allocation
			return &kept, nil
		}
	}
	return spec.DecodeReply(reply.Body)
}
