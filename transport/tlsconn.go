package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"time"
)

// tlsCloseTimeout bounds the goodbye of a TLS stream to a peer that does not
// read; TLS itself would give it five seconds.
const tlsCloseTimeout = time.Second

// tlsStream is a TLS stream that has shaken hands. What the peer finds wrong
// afterwards has a name too: a client of TLS 1.3 learns only from its first
// read that its certificate was refused.
type tlsStream struct {
	*tls.Conn
	raw net.Conn
}

// Read implements net.Conn.
func (s *tlsStream) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if err != nil && err != io.EOF {
		if said := saidByPeer(err); said != nil {
			err = said
		}
	}
	return n, err
}

// Close implements net.Conn.
func (s *tlsStream) Close() error {
	late := time.AfterFunc(tlsCloseTimeout, func() { _ = s.raw.Close() })
	defer late.Stop()
	return s.Conn.Close()
}

// dialTLS shakes hands as a client, until ctx ends. It owns raw.
func (t *TLS) dialTLS(ctx context.Context, raw net.Conn, config *tls.Config) (*tlsStream, error) {
	tc := tls.Client(raw, config)
	err := tc.HandshakeContext(ctx)
	if err == nil {
		if got := tc.ConnectionState().NegotiatedProtocol; got != config.NextProtos[0] {
			err = fmt.Errorf("%w: the server took %q, not %q", ErrTLSProtocol, got, config.NextProtos[0])
		}
	} else if end := ctx.Err(); end != nil {
		err = end
	} else {
		err = clientError(err)
	}
	if err != nil {
		_ = raw.Close()
		t.count(TLSHandshakesFailed)
		return nil, err
	}
	t.count(TLSHandshakes)
	return &tlsStream{tc, raw}, nil
}

func clientError(err error) error {
	var plain tls.RecordHeaderError
	if errors.As(err, &plain) {
		return fmt.Errorf("%w: the answer was no TLS: %w", ErrNoTLS, err)
	}
	late := errors.Is(err, os.ErrDeadlineExceeded)
	if saidByPeer(err) == nil && isIO(err) && !late && !errors.Is(err, ErrTLS) {
		return fmt.Errorf("the peer ended it, and may not speak TLS: %w", tlsError(err))
	}
	return tlsError(err)
}

// GossipNetwork is n with TLS on the streams that it dials, for gossip. The
// peer is some node that a trusted CA has signed; its name is not checked.
func (t *TLS) GossipNetwork(n Network) Network { return &gossipNetwork{n, t} }

type gossipNetwork struct {
	Network
	tls *TLS
}

// Dial implements Network.
func (n *gossipNetwork) Dial(ctx context.Context, addr string) (net.Conn, error) {
	raw, err := n.Network.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	s, err := n.tls.dialTLS(ctx, raw, n.tls.current().gossip)
	if err != nil {
		return nil, fmt.Errorf("gossip with %s: %w", addr, err)
	}
	return s, nil
}

// offer is what a client said in its first message.
type offer struct {
	seen      bool
	tls13     bool
	protocols bool // none, or one that we speak
}

// accept shakes hands as a server on a stream whose first byte was that of TLS,
// within the time for a handshake, and tells what the stream speaks: by ALPN,
// else by its first byte if that is MessagePack-RPC's, whose clients know no
// ALPN. The raw stream stays the caller's if there is an error; the one that is
// returned then is what the client can be told on.
func (t *TLS) accept(raw net.Conn) (net.Conn, StreamKind, error) {
	var o offer
	state := t.current()
	tc := tls.Server(raw, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		o = offer{seen: true, tls13: slices.Contains(hello.SupportedVersions, tls.VersionTLS13)}
		o.protocols = len(hello.SupportedProtos) == 0 ||
			slices.ContainsFunc(hello.SupportedProtos, func(p string) bool { return slices.Contains(state.server.NextProtos, p) })
		return state.server, nil
	}})
	_ = raw.SetDeadline(time.Now().Add(firstByteTimeout))
	if err := tc.Handshake(); err != nil {
		return raw, StreamTLS, serverError(err, o, tc)
	}
	s := &tlsStream{tc, raw}
	t.count(TLSHandshakes)
	defer func() { _ = raw.SetDeadline(time.Time{}) }()
	protocol := tc.ConnectionState().NegotiatedProtocol
	switch protocol {
	case protoMesh:
		return s, StreamMesh, nil
	case protoGossip:
		return s, StreamGossip, nil
	}
	var first [1]byte
	if _, err := io.ReadFull(s, first[:]); err != nil {
		return s, StreamTLS, fmt.Errorf("%w: no first byte: %w", ErrTLSProtocol, err)
	}
	kind := Classify(first[0])
	if kind == StreamMsgpackRPC && protocol == "" {
		return &prefixed{Conn: s, first: first}, kind, nil
	}
	if kind == StreamUnknown {
		if other := foreign(s, first[0]); other.Protocol != "" {
			return s, kind, other
		}
	}
	return s, kind, fmt.Errorf("%w: %q was asked for by a stream of kind %v", ErrTLSProtocol, protocol, kind)
}

// serverError names why a client was not let in. crypto/tls has types for some
// reasons only; the others follow from what the client offered.
func serverError(err error, o offer, tc *tls.Conn) error {
	var chain *tls.CertificateVerificationError
	state := tc.ConnectionState()
	switch {
	case isIO(err) || errors.Is(err, ErrTLS) || errors.As(err, &chain) || !o.seen:
		return tlsError(err)
	case !o.tls13:
		return fmt.Errorf("%w: %w", ErrTLSVersion, err)
	case !o.protocols:
		return fmt.Errorf("%w: %w", ErrTLSProtocol, err)
	case state.Version == tls.VersionTLS13 && len(state.PeerCertificates) == 0:
		return fmt.Errorf("%w: %w", ErrNoCertificate, err)
	}
	return tlsError(err)
}
