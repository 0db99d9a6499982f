package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

const (
	// maxHello bounds what is read from a stranger before a valid hello, in
	// bytes.
	maxHello = 4 << 10
	// refusalTimeout is the time for telling a stranger why he is refused.
	refusalTimeout = time.Second
)

// dial connects and greets first.
func (ep *Endpoint) dial(ctx context.Context, addr, want string) (*Conn, error) {
	nc, err := ep.connect(ctx, addr)
	if err != nil {
		return nil, err
	}
	// The end of ctx cuts the greeting too.
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	c, err := ep.greet(nc, want)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = nc.Close()
		if end := ctx.Err(); end != nil {
			err = fmt.Errorf("%w: %w", end, err)
		}
		return nil, fmt.Errorf("greeting %s: %w", addr, err)
	}
	return c, nil
}

// receive greets a stranger, or tells him why not. It can be cut short by Close, and by
// other strangers when there are many.
func (ep *Endpoint) receive(nc net.Conn) (*Conn, error) {
	var stranger *Stranger
	if ep.isServing() {
		stranger = ep.greeting.Admit(nc)
	}
	if stranger == nil {
		refuse(nc, ErrShutdown)
		return nil, ErrShutdown
	}
	c, err := ep.greetBack(nc)
	if crowded := stranger.Leave(); crowded != nil {
		err = crowded
	}
	return c, err
}

// refuse writes a goaway that says why.
func refuse(nc net.Conn, why error) {
	buf, at := wire.Begin(nil)
	buf = wire.AppendGoAway(buf, 0, uint64(reasonOf(why)))
	_ = nc.SetWriteDeadline(time.Now().Add(refusalTimeout))
	_, _ = nc.Write(wire.End(append(buf, why.Error()...), at))
}

// linger reads on for a moment: to close with bytes unread would reset the
// stream, and the goaway might be lost with it.
func linger(nc net.Conn) {
	closeWrite(unwrap(nc))
	_ = nc.SetReadDeadline(time.Now().Add(refusalTimeout))
	_, _ = io.CopyN(io.Discard, nc, maxHello)
}

// greet sends the preface and our hello, and takes the peer's.
func (ep *Endpoint) greet(nc net.Conn, want string) (*Conn, error) {
	_ = nc.SetDeadline(time.Now().Add(ep.cfg.HandshakeTimeout))
	if err := ep.provenFirst(nc, want); err != nil {
		return nil, err
	}
	mine := ep.hello(want)
	if _, err := nc.Write(helloFrame([]byte(wire.Preface), &mine)); err != nil {
		return nil, handshakeError(err)
	}
	h, err := readHello(nc)
	if said := new(RefusedError); errors.As(err, &said) {
		said.By = want
	}
	if err != nil {
		return nil, handshakeError(err)
	}
	if err := ep.check(&h, want); err != nil {
		return nil, err
	}
	if err := ep.proven(nc, h.Name); err != nil {
		refuse(nc, err)
		return nil, err
	}
	return ep.greeted(nc, &h, true), nil
}

// greetBack takes the preface and the hello of a peer and answers with ours,
// or with a goaway that says why not.
func (ep *Endpoint) greetBack(nc net.Conn) (*Conn, error) {
	_ = nc.SetDeadline(time.Now().Add(ep.cfg.HandshakeTimeout))
	h, err := readPreface(nc)
	if err == nil {
		err = ep.check(&h, "")
	}
	if err == nil {
		err = ep.proven(nc, h.Name)
	}
	if err == nil && ep.Conns() >= ep.cfg.MaxConns {
		err = fmt.Errorf("%w: %s has %d", ErrTooManyConns, called(ep.cfg.Name), ep.cfg.MaxConns)
	}
	if err == nil && h.To != "" && h.To != ep.cfg.Name {
		err = fmt.Errorf("%w: it is %q, not %q", ErrWrongPeer, ep.cfg.Name, h.To)
	}
	if err != nil {
		err = handshakeError(err)
		refuse(nc, err)
		linger(nc)
		return nil, err
	}
	// Our hello is queued, so that it goes out only if the endpoint adds the
	// connection: a peer that has it may send calls, and needs a goaway then.
	c, mine := ep.greeted(nc, &h, false), ep.hello("")
	c.out.buf = helloFrame(c.out.buf, &mine)
	c.out.queued = uint64(len(c.out.buf))
	return c, nil
}

func (ep *Endpoint) greeted(nc net.Conn, h *wire.Hello, dialled bool) *Conn {
	_ = nc.SetDeadline(time.Time{})
	return newConn(ep, unwrap(nc), h, dialled)
}

func (ep *Endpoint) hello(to string) wire.Hello {
	return wire.Hello{
		Version: wire.Version, Cluster: ep.cfg.Cluster, Name: ep.cfg.Name, To: to,
		Boot: ep.cfg.Boot, KeyID: ep.cfg.KeyID,
		MaxBody: uint64(ep.cfg.MaxBody), MaxCalls: uint64(ep.cfg.MaxCalls),
		Window: uint64(ep.cfg.Window), ConnWindow: uint64(ep.cfg.ConnWindow),
	}
}

func helloFrame(dst []byte, h *wire.Hello) []byte {
	buf, at := wire.Begin(dst)
	return wire.End(wire.AppendHello(buf, h), at)
}

// check tells whether we can talk to the sender of h. Clients have no key and
// may have no cluster name.
func (ep *Endpoint) check(h *wire.Hello, want string) error {
	member := h.Name != "" && ep.cfg.Name != ""
	switch {
	case h.Version != wire.Version:
		return fmt.Errorf("%w: %s speaks %d, %s %d", ErrVersion, called(h.Name), h.Version, called(ep.cfg.Name), wire.Version)
	case h.Cluster != ep.cfg.Cluster && h.Cluster != "" && ep.cfg.Cluster != "":
		return fmt.Errorf("%w: %s is in %q, %s in %q", ErrCluster, called(h.Name), h.Cluster, called(ep.cfg.Name), ep.cfg.Cluster)
	case member && h.KeyID != ep.cfg.KeyID:
		return fmt.Errorf("%w: %s", ErrGossipKey, keyDifference(h.Name, h.KeyID, ep.cfg.Name, ep.cfg.KeyID))
	case want != "" && h.Name != want:
		return fmt.Errorf("%w: it is %q, not %q", ErrWrongPeer, h.Name, want)
	case credit(h.Window) < minWindow || credit(h.ConnWindow) < minWindow:
		return fmt.Errorf("%w: a window of less than %d bytes", ErrProtocol, minWindow)
	}
	return nil
}

// called names a node, or a client, in words that are read on both sides.
func called(name string) string {
	if name == "" {
		return "the client"
	}
	return strconv.Quote(name)
}

func keyDifference(a string, keyOfA uint64, b string, keyOfB uint64) string {
	switch {
	case keyOfA == 0:
		return fmt.Sprintf("%q has one, %q has none", b, a)
	case keyOfB == 0:
		return fmt.Sprintf("%q has one, %q has none", a, b)
	}
	return fmt.Sprintf("%q and %q have different ones", a, b)
}

func readPreface(nc net.Conn) (wire.Hello, error) {
	var preface [len(wire.Preface)]byte
	if _, err := io.ReadFull(nc, preface[:]); err != nil {
		return wire.Hello{}, err
	}
	if string(preface[:]) != wire.Preface {
		return wire.Hello{}, fmt.Errorf("%w: bad preface", ErrProtocol)
	}
	return readHello(nc)
}

// readHello reads one frame, which must be a hello, or a goaway that says why
// there is none. It reads no byte beyond.
func readHello(nc net.Conn) (wire.Hello, error) {
	var prefix [wire.Prefix]byte
	if _, err := io.ReadFull(nc, prefix[:]); err != nil {
		return wire.Hello{}, err
	}
	n := wire.Length(prefix[:])
	if n > maxHello {
		return wire.Hello{}, fmt.Errorf("%w: a hello of %d bytes", ErrFrameTooLarge, n)
	}
	frame := make([]byte, n)
	if _, err := io.ReadFull(nc, frame); err != nil {
		return wire.Hello{}, err
	}
	var head wire.Header
	body, err := wire.Parse(frame, &head)
	if err == nil && head.Kind == wire.KindGoAway {
		return wire.Hello{}, reason(head.Code).err(printable(body))
	}
	h, err := wire.ParseHello(frame)
	if err != nil {
		return wire.Hello{}, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return h, nil
}

// handshakeError names a timeout.
func handshakeError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w: %w", ErrHandshakeTimeout, err)
	}
	return err
}
