package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// ErrForeign: the stream speaks a protocol that has no business at this port.
var ErrForeign = errors.New("transport: another protocol")

// ForeignError says which protocol a stream speaks that the port does not take. It is
// ErrForeign too.
type ForeignError struct {
	Protocol string // "HTTP", "SSH", …; empty: none that is known
	Begin    string // the first bytes, at most maxBegin
}

// Error implements error.
func (e *ForeignError) Error() string {
	switch e.Protocol {
	case "":
		return fmt.Sprintf("%v: the stream begins with %q", ErrForeign, e.Begin)
	case proxyProtocol:
		return fmt.Sprintf("%v: PROXY protocol; turn it off at the load balancer before this port", ErrForeign)
	}
	return fmt.Sprintf("%v: %s, beginning with %q", ErrForeign, e.Protocol, e.Begin)
}

// Unwrap returns ErrForeign.
func (e *ForeignError) Unwrap() error { return ErrForeign }

// HTTP reports whether it is HTTP, of any version.
func (e *ForeignError) HTTP() bool { return e.Protocol == protoHTTP || e.Protocol == protoHTTP2 }

// isHTTP reports whether a stream was refused because it speaks HTTP.
func isHTTP(err error) bool {
	var foreign *ForeignError
	return errors.As(err, &foreign) && foreign.HTTP()
}

const (
	protoHTTP     = "HTTP"
	protoHTTP2    = "HTTP/2"
	proxyProtocol = "PROXY protocol"
	// maxBegin is how many bytes of a stranger's are read to tell what it speaks.
	maxBegin = 32
	// maxHTTPRequest is how much of an HTTP request is read before the stream is
	// closed, in bytes: closing with bytes unread could take the answer with it.
	maxHTTPRequest = 256 << 10
)

// foreignBegins are how streams of common protocols begin.
var foreignBegins = [...]struct{ begin, protocol string }{
	{"PRI * HTTP/2.0", protoHTTP2},
	{"GET ", protoHTTP},
	{"HEAD ", protoHTTP},
	{"POST ", protoHTTP},
	{"PUT ", protoHTTP},
	{"PATCH ", protoHTTP},
	{"DELETE ", protoHTTP},
	{"OPTIONS ", protoHTTP},
	{"CONNECT ", protoHTTP},
	{"TRACE ", protoHTTP},
	{"SSH-", "SSH"},
	{"PROXY ", proxyProtocol},
	{"\r\n\r\n\x00\r\nQUIT\n", proxyProtocol},
	{"*1\r\n$", "Redis"},
	{"*2\r\n$", "Redis"},
	{"*3\r\n$", "Redis"},
	{"PING\r\n", "Redis"},
	{"\x00\x00\x00\x08\x04\xd2\x16\x2f", "PostgreSQL"},
	{"EHLO ", "SMTP"},
	{"HELO ", "SMTP"},
	{"AMQP", "AMQP"},
}

// recognise names the protocol that a stream begins with. more says that further bytes
// could tell.
func recognise(begin []byte) (protocol string, more bool) {
	for _, known := range foreignBegins {
		switch {
		case strings.HasPrefix(string(begin), known.begin):
			return known.protocol, false
		case strings.HasPrefix(known.begin, string(begin)):
			more = true
		}
	}
	return "", more
}

// foreign reads on in a stream that is none of ours, which began with first, until it
// knows what it is or a moment has passed.
func foreign(nc net.Conn, first byte) *ForeignError {
	buf := make([]byte, 1, maxBegin)
	buf[0] = first
	_ = nc.SetReadDeadline(time.Now().Add(refusalTimeout))
	protocol, more := recognise(buf)
	for enough := false; more && !enough; {
		n, err := nc.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		protocol, more = recognise(buf)
		enough = err != nil || len(buf) == cap(buf)
	}
	return &ForeignError{Protocol: protocol, Begin: string(buf)}
}

// answerHTTP tells an HTTP client what it has reached, and reads on until it has got
// that, at most for a moment.
func answerHTTP(nc net.Conn, err error, secure bool) {
	const plain = "This port speaks the protocol of a meshnode mesh, not HTTP."
	text := plain + " 'meshnode stats --prometheus' prints its metrics.\n"
	if secure {
		text = plain + " It takes TLS with a client's certificate only." + text[len(plain):]
	}
	answer := "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n" +
		fmt.Sprintf("Content-Length: %d\r\n\r\n", len(text))
	var foreign *ForeignError
	if !errors.As(err, &foreign) || !bytes.HasPrefix([]byte(foreign.Begin), []byte("HEAD ")) {
		answer += text
	}
	_ = nc.SetDeadline(time.Now().Add(refusalTimeout))
	if _, err := io.WriteString(nc, answer); err != nil {
		return
	}
	closeWrite(unwrap(nc))
	_, _ = io.CopyN(io.Discard, nc, maxHTTPRequest)
}
