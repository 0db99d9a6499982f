package transport

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/meshnode/meshnode/certs"
	"github.com/meshnode/meshnode/internal/wire"
)

// connect opens a stream to addr, with TLS if that is configured.
func (ep *Endpoint) connect(ctx context.Context, addr string) (net.Conn, error) {
	nc, err := ep.cfg.Network.Dial(ctx, addr)
	if err != nil || ep.cfg.TLS == nil {
		return nc, err
	}
	_ = nc.SetDeadline(time.Now().Add(ep.cfg.HandshakeTimeout))
	s, err := ep.cfg.TLS.dialTLS(ctx, nc, ep.cfg.TLS.current().mesh)
	if err != nil {
		return nil, fmt.Errorf("greeting %s: %w", addr, err)
	}
	return s, nil
}

// proven tells whether the peer at nc has proved that it is the node called
// name; a name that is empty belongs to any client. Without TLS there are no
// proofs.
func (ep *Endpoint) proven(nc net.Conn, name string) error {
	if ep.cfg.TLS == nil {
		return nil
	}
	s, ok := nc.(*tlsStream)
	if !ok {
		return ErrTLSRequired
	}
	if name == "" {
		return nil
	}
	return isNode(s.ConnectionState().PeerCertificates[0], name)
}

// provenFirst is proven for a node that was dialled by name, which learns why
// it is refused before it is told anything.
func (ep *Endpoint) provenFirst(nc net.Conn, want string) error {
	err := ep.proven(nc, want)
	if err != nil {
		_, _ = nc.Write([]byte(wire.Preface))
		refuse(nc, err)
		linger(nc)
	}
	return err
}

// identityOf returns who is at the other end of a stream that has greeted with h.
func identityOf(nc net.Conn, h *wire.Hello) Identity {
	id := Identity{Name: h.Name, Cluster: h.Cluster, Boot: h.Boot, Subject: h.Name}
	var name string
	if name, id.Verified = CertificateName(nc); h.Name == "" {
		id.Subject = name
	}
	return id
}

// CertificateName returns the name in the certificate of the client that is at the other end of
// a stream that a Port has handed over; see certs.Subject. It reports false for a stream without
// TLS.
func CertificateName(nc net.Conn) (name string, verified bool) {
	if p, ok := nc.(*prefixed); ok {
		nc = p.Conn
	}
	s, ok := nc.(*tlsStream)
	if !ok {
		return "", false
	}
	return certs.Subject(s.ConnectionState().PeerCertificates[0]), true
}

// Certificates returns what the peer has proved its name with, its own certificate
// first; nil without TLS. They are not to be changed.
func (c *Conn) Certificates() []*x509.Certificate {
	if s, ok := c.nc.(*tlsStream); ok {
		return s.ConnectionState().PeerCertificates
	}
	return nil
}

// Refused counts and logs a stream that the port refused. It is what
// StreamHandlers.Refused wants.
func (ep *Endpoint) Refused(r Refusal) {
	ep.stats.add(StreamsRefused, 1)
	switch {
	case errors.Is(r.Err, ErrCrowded):
		ep.crowded(r.Err)
		return
	case r.Err == ErrSaidNothing || r.Err == ErrClosed:
		ep.log.Debug().Err(r.Err).Stringer("remote", r.Remote).Msg("stream refused")
		return
	case isHTTP(r.Err):
		ep.stats.add(HTTPRefused, 1)
	}
	ep.log.Warn().Err(r.Err).Stringer("remote", r.Remote).Stringer("kind", r.Kind).Msg("stream refused")
}

// crowded counts and logs that a stranger was closed to make room.
func (ep *Endpoint) crowded(why error) {
	ep.stats.add(StrangersDisplaced, 1)
	ep.crowd.Warn().Err(why).Msg("strangers crowd the port: those silent for longest make room")
}
