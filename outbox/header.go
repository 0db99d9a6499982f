package outbox

import (
	"encoding/binary"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// headerKey is the metadata in which a delivery says what call it is.
const headerKey = "mesh-durable"

const headerVersion = 1

// header is what the receiver must know of a durable call.
type header struct {
	id      string
	hash    hash
	expires time.Time
	attempt uint64 // from 1, since the sender's start
}

// text gives the value of the metadata: version, attempt, expiry in Unix
// milliseconds, hash, and the id to the end.
func (h *header) text() string {
	b := make([]byte, 0, 48+len(h.id))
	b = append(b, headerVersion)
	b = binary.AppendUvarint(b, h.attempt)
	b = binary.AppendVarint(b, h.expires.UnixMilli())
	b = append(b, h.hash[:]...)
	return string(append(b, h.id...))
}

// headerOf gives the header of the call that a handler serves; durable is false
// for an ordinary one.
func headerOf(info *rpc.Info) (h header, durable bool, err error) {
	text, ok := info.Metadata[headerKey]
	if !ok {
		return h, false, nil
	}
	if info.Peer == "" { // only nodes deliver; a client could pass for the call of another's id
		return h, true, rpc.Errorf(rpc.PermissionDenied, "the metadata %s is the outbox's own: enqueue the call", headerKey)
	}
	d := reader{b: []byte(text)}
	if v := d.take(1); v != nil && v[0] != headerVersion {
		// Unimplemented, not InvalidArgument: an upgrade of this node may change it.
		return h, true, rpc.Errorf(rpc.Unimplemented, "a durable call of version %d; the node that was called knows %d", v[0], headerVersion)
	}
	h.attempt = d.uint()
	h.expires = time.UnixMilli(d.int())
	copy(h.hash[:], d.take(len(h.hash)))
	h.id = string(d.b)
	if d.bad || h.id == "" || len(h.id) > rpc.MaxID {
		return h, true, rpc.Errorf(rpc.InvalidArgument, "the metadata %s of a durable call cannot be read", headerKey)
	}
	return h, true, nil
}
