package transport

import (
	"net"
	"time"
)

// firstOfTLS is the first byte of a TLS stream: a record of a handshake.
const firstOfTLS = 0x16

// tell reads the beginning of a fresh stream and says what it is: by its first
// byte or, with TLS, after a handshake. The stream is given back whole. An
// error says why the stream must not be taken whatever its kind.
func (h *StreamHandlers) tell(nc net.Conn) (stream net.Conn, kind StreamKind, err error) {
	var first [1]byte
	_ = nc.SetReadDeadline(time.Now().Add(firstByteTimeout))
	n, _ := nc.Read(first[:])
	_ = nc.SetReadDeadline(time.Time{})
	if n == 0 {
		return nc, StreamUnknown, nil
	}
	kind = Classify(first[0])
	whole := &prefixed{Conn: nc, first: first}
	switch {
	case h.TLS == nil && kind == StreamTLS:
		return whole, kind, ErrNoTLS
	case h.TLS == nil:
		return whole, kind, nil
	case kind != StreamTLS:
		h.TLS.refuse(nc, kind, ErrTLSRequired)
		return whole, kind, ErrTLSRequired
	}
	stream, kind, err = h.TLS.accept(whole)
	if err != nil {
		h.TLS.refuse(nc, kind, err)
		return whole, kind, err
	}
	return stream, kind, nil
}

func (t *TLS) refuse(nc net.Conn, kind StreamKind, err error) {
	t.count(TLSHandshakesFailed)
	t.log.Warn().Err(err).Stringer("remote", nc.RemoteAddr()).Stringer("kind", kind).Msg("stream refused")
}

// explain tells a stranger why he is refused, if that can be put into words
// that he understands: those who expect a mesh read goaways, and those who
// expect TLS see that this is none. TLS has sent its own alert.
func explain(nc net.Conn, kind StreamKind, err error) {
	switch {
	case err == nil:
		return
	case err == ErrNoTLS || err == ErrTLSRequired && kind == StreamMesh:
		refuse(nc, err)
	}
	linger(nc)
}
