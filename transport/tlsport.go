package transport

import (
	"errors"
	"net"
	"time"
)

// firstOfTLS is the first byte of a TLS stream: a record of a handshake.
const firstOfTLS = 0x16

// tell reads the beginning of a fresh stream and says what it is: by its first
// byte or, with TLS, after a handshake. The stream is given back whole. An
// error says why the stream must not be taken whatever its kind; the stream is
// then what the reason can be told on.
func (h *StreamHandlers) tell(nc net.Conn, stranger *Stranger) (stream net.Conn, kind StreamKind, err error) {
	var first [1]byte
	_ = nc.SetReadDeadline(time.Now().Add(firstByteTimeout))
	n, _ := nc.Read(first[:])
	_ = nc.SetReadDeadline(time.Time{})
	if n == 0 {
		return nc, StreamUnknown, ErrSaidNothing
	}
	stranger.Heard()
	kind = Classify(first[0])
	whole := &prefixed{Conn: nc, first: first, stranger: stranger}
	defer func() { whole.stranger = nil }()
	switch {
	case kind == StreamUnknown:
		return nc, kind, foreign(nc, first[0])
	case h.TLS == nil && kind == StreamTLS:
		return whole, kind, ErrNoTLS
	case h.TLS == nil:
		return whole, kind, nil
	case kind != StreamTLS:
		return whole, kind, ErrTLSRequired
	}
	return h.TLS.accept(whole)
}

// explain tells a stranger why he is refused, if that can be put into words
// that he understands: those who expect a mesh read goaways, those who expect
// TLS see that this is none, and HTTP has answers of its own. TLS has sent its
// own alert.
func explain(nc net.Conn, kind StreamKind, err error, secure bool) {
	switch {
	case err == ErrSaidNothing || err == ErrNotTaken || errors.Is(err, ErrCrowded):
		return
	case isHTTP(err):
		answerHTTP(nc, err, secure)
		return
	case errors.Is(err, ErrForeign):
		return
	case err == ErrNoTLS || err == ErrTLSRequired && kind == StreamMesh:
		refuse(nc, err)
	}
	linger(nc)
}
