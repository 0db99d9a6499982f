package transport

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Errors that end a connection or refuse one. Each has a code on the wire (in
// a goaway), so that errors.Is works with the same value on both sides. Their words
// and what is added to them are read on both sides, so they name nodes, and say
// neither "the peer" nor "this node".
var (
	// ErrShutdown: a node is stopping; accepted calls finish.
	ErrShutdown = errors.New("transport: shutting down")
	// ErrProtocol: bytes that the protocol does not allow.
	ErrProtocol = errors.New("transport: protocol violation")
	// ErrVersion: the peer speaks another protocol version.
	ErrVersion = errors.New("transport: protocol version mismatch")
	// ErrCluster: the peer belongs to another cluster.
	ErrCluster = errors.New("transport: cluster name mismatch")
	// ErrGossipKey: the peer has another gossip key, or one of us has none.
	ErrGossipKey = errors.New("transport: gossip key mismatch")
	// ErrWrongPeer: another node answers at this address than was expected.
	ErrWrongPeer = errors.New("transport: another node answers at this address")
	// ErrFrameTooLarge: a frame exceeds the receiver's limit.
	ErrFrameTooLarge = errors.New("transport: frame too large")
	// ErrHandshakeTimeout: no valid hello arrived in time.
	ErrHandshakeTimeout = errors.New("transport: handshake timed out")
	// ErrTooManyConns: the peer has as many connections as it takes.
	ErrTooManyConns = errors.New("transport: too many connections")
	// ErrIdle: no call was made for long; the next one dials anew.
	ErrIdle = errors.New("transport: connection idle for too long")
	// ErrPingFlood: more pings than anybody needs.
	ErrPingFlood = errors.New("transport: too many pings")
	// ErrWindowOverflow: more bytes than were granted, or more granted than
	// can be counted.
	ErrWindowOverflow = errors.New("transport: flow control window overflow")
)

// Errors on this side only.
var (
	// ErrClosed: the connection, peer or endpoint is closed.
	ErrClosed = errors.New("transport: closed")
	// ErrStopped: this process has stopped before a call or stream had ended.
	ErrStopped = errors.New("transport: this side stopped first")
	// ErrBackoff: the last dial failed a moment ago; the next one waits.
	ErrBackoff = errors.New("transport: waiting before the next dial")
	// ErrWriteQueueFull: the peer does not read as fast as we write.
	ErrWriteQueueFull = errors.New("transport: write queue full")
	// ErrTooManyCalls: as many calls are in flight on the connection as the
	// peer accepts.
	ErrTooManyCalls = errors.New("transport: too many calls in flight")
	// ErrTooManyServed: as many calls are in flight at the peer, over all its
	// connections, as it accepts.
	ErrTooManyServed = errors.New("transport: too many calls in flight at the node that was called")
	// ErrTooManyBytes: bodies that are on their way to the peer take as much
	// memory as it grants them.
	ErrTooManyBytes = errors.New("transport: too many bytes of requests in flight at the node that was called")
	// ErrBodyTooLarge: a request, reply or message exceeds the limit of one
	// of the sides.
	ErrBodyTooLarge = errors.New("transport: body too large")
	// ErrStreamEnded: the other side has ended the stream.
	ErrStreamEnded = errors.New("transport: the stream has ended")
	// ErrSendClosed: a message was sent after CloseSend.
	ErrSendClosed = errors.New("transport: no more can be sent on this stream")
	// ErrStalled: the other side took nothing for StallTimeout.
	ErrStalled = errors.New("transport: the other side has stopped taking data")
	// ErrSilent: the peer gave no sign of life when it was asked for one.
	ErrSilent = errors.New("transport: no sign of life from the peer")
	// ErrKeepalive: the peer did not answer a ping in time.
	ErrKeepalive = errors.New("transport: no answer to a keepalive ping")
	// ErrDuplicateID: a call reuses the id of one still in flight.
	ErrDuplicateID = fmt.Errorf("%w: duplicate call id", ErrProtocol)
	// ErrWrongSide: a call bears an id of those that its receiver gives.
	ErrWrongSide = fmt.Errorf("%w: call id of the wrong side", ErrProtocol)
	// ErrBodyLength: a body has another length than was declared.
	ErrBodyLength = fmt.Errorf("%w: body of another length than declared", ErrProtocol)
	// ErrUnexpectedFrame: a frame kind that has no business here.
	ErrUnexpectedFrame = fmt.Errorf("%w: unexpected frame", ErrProtocol)
)

// reason is an error's code in a goaway. Numbers are part of the protocol:
// append only.
type reason uint64

var reasons = [...]error{
	0:  ErrShutdown,
	1:  ErrProtocol,
	2:  ErrVersion,
	3:  ErrCluster,
	4:  ErrGossipKey,
	5:  ErrWrongPeer,
	6:  ErrFrameTooLarge,
	7:  ErrHandshakeTimeout,
	8:  ErrTooManyConns,
	9:  ErrIdle,
	10: ErrPingFlood,
	11: ErrWindowOverflow,
	12: ErrTLSRequired,
	13: ErrNoTLS,
	14: ErrCertificateName,
	15: ErrCertificateUse,
}

// reasonOf gives the code of the first known error that err wraps; what has
// none of its own is a protocol violation.
func reasonOf(err error) reason {
	for i, known := range reasons {
		if errors.Is(err, known) {
			return reason(i)
		}
	}
	return 1
}

// err gives the error of a received code with the peer's text.
func (r reason) err(text string) *RefusedError {
	known := ErrProtocol
	if r < reason(len(reasons)) {
		known = reasons[r]
	}
	return &RefusedError{Err: known, Text: text}
}

// RefusedError is what a peer gave as its reason for ending a connection.
type RefusedError struct {
	Err  error  // one of the errors above
	Text string // the peer's words; may be empty
	By   string // the peer's name; empty if it is not known
}

// Error implements error.
func (e *RefusedError) Error() string {
	by := "the peer"
	if e.By != "" {
		by = strconv.Quote(e.By)
	}
	if e.Text == "" {
		return fmt.Sprintf("%v (said by %s)", e.Err, by)
	}
	if detail, ok := strings.CutPrefix(e.Text, e.Err.Error()); ok {
		return fmt.Sprintf("%v%s (said by %s)", e.Err, detail, by)
	}
	return fmt.Sprintf("%v (%s says: %s)", e.Err, by, e.Text)
}

// Unwrap gives the named error.
func (e *RefusedError) Unwrap() error { return e.Err }

// CallError is why a call got no reply.
type CallError struct {
	Unsent bool // the peer cannot have executed the call
	Err    error
}

// Error implements error.
func (e *CallError) Error() string {
	if e.Unsent {
		return e.Err.Error() + " (not sent)"
	}
	return e.Err.Error() + " (outcome unknown)"
}

// Unwrap gives the cause.
func (e *CallError) Unwrap() error { return e.Err }

// IsUnsent tells whether err says that the peer cannot have executed the call,
// so that sending it again, elsewhere, is safe for every method.
func IsUnsent(err error) bool {
	var ce *CallError
	return errors.As(err, &ce) && ce.Unsent
}

func unsent(err error) error { return &CallError{Unsent: true, Err: err} }
