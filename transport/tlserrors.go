package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
)

// Errors of TLS. All but the first two are ErrTLS too; those about certificates
// are ErrCertificate. What the peer found wrong comes as a RefusedError around
// the same value, as far as TLS's alerts can tell: about a server's certificate
// they say ErrCertificate only.
var (
	// ErrTLSRequired: a plain stream where only TLS is taken.
	ErrTLSRequired = errors.New("transport: plain stream where TLS is required")
	// ErrNoTLS: a TLS stream where there is no TLS.
	ErrNoTLS = errors.New("transport: TLS where only plain streams are taken")
	// ErrTLS: a TLS handshake failed.
	ErrTLS = errors.New("transport: TLS handshake failed")
	// ErrTLSVersion: the peer speaks no version of TLS from 1.3 on.
	ErrTLSVersion = kindOf(ErrTLS, "transport: TLS before version 1.3")
	// ErrTLSProtocol: the peer speaks another protocol over TLS.
	ErrTLSProtocol = kindOf(ErrTLS, "transport: no common protocol over TLS (ALPN)")
	// ErrCertificate: a certificate was refused.
	ErrCertificate = kindOf(ErrTLS, "transport: certificate refused")
	// ErrNoCertificate: the client has no certificate.
	ErrNoCertificate = kindOf(ErrCertificate, "transport: no certificate given")
	// ErrUnknownCA: no CA that is trusted has signed the certificate.
	ErrUnknownCA = kindOf(ErrCertificate, "transport: certificate signed by no CA that is trusted")
	// ErrCertificateExpired: the certificate has expired or is not valid yet.
	ErrCertificateExpired = kindOf(ErrCertificate, "transport: certificate expired or not valid yet")
	// ErrCertificateUse: the certificate is not meant for this.
	ErrCertificateUse = kindOf(ErrCertificate, "transport: certificate meant for another use")
	// ErrCertificateName: the certificate is that of another node.
	ErrCertificateName = kindOf(ErrCertificate, "transport: certificate of another name")
)

// kind is an error that is a more general one too, without its words.
type kind struct {
	text string
	of   error
}

func kindOf(of error, text string) error { return &kind{text, of} }

// Error implements error.
func (k *kind) Error() string { return k.text }

// Unwrap gives the more general error.
func (k *kind) Unwrap() error { return k.of }

// alertError names TLS's own words for what a peer found wrong (RFC 8446,
// section 6).
func alertError(alert uint64) error {
	switch alert {
	case 48:
		return ErrUnknownCA
	case 45:
		return ErrCertificateExpired
	case 116:
		return ErrNoCertificate
	case 42, 43, 44, 46:
		return ErrCertificate
	case 70:
		return ErrTLSVersion
	case 120:
		return ErrTLSProtocol
	}
	return ErrTLS
}

// saidByPeer gives the named error of an alert that the peer sent, or nil.
func saidByPeer(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" || op.Err == nil {
		return nil
	}
	// The type of alerts is not exported; it is a number.
	if v := reflect.ValueOf(op.Err); v.Kind() == reflect.Uint8 {
		return &RefusedError{Err: alertError(v.Uint()), Text: op.Err.Error()}
	}
	return nil
}

// chainError names what x509 found wrong with a certificate; nil stays nil.
func chainError(err error) error {
	if err == nil {
		return nil
	}
	named := ErrCertificate
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		named = ErrUnknownCA
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		named = ErrCertificateExpired
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		named = ErrCertificateUse
	}
	return fmt.Errorf("%w: %w", named, err)
}

// tlsError names why a handshake failed, as far as both sides know it.
func tlsError(err error) error {
	var chain *tls.CertificateVerificationError
	said := saidByPeer(err)
	switch {
	case said != nil:
		return said
	case errors.Is(err, ErrTLS):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrHandshakeTimeout, err)
	case errors.As(err, &chain):
		return chainError(chain.Err)
	}
	return fmt.Errorf("%w: %w", ErrTLS, err)
}

// isIO tells whether a stream failed, rather than what came through it.
func isIO(err error) bool {
	var ne net.Error // of sockets, of alerts too
	return errors.As(err, &ne) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// TLSCounter names a number that a TLS counts since its start.
type TLSCounter int

// The counters of TLS.
const (
	TLSHandshakes       TLSCounter = iota // that succeeded, in and out
	TLSHandshakesFailed                   // in and out; plain streams too
	TLSReloads                            // new credentials that were taken
	TLSReloadsFailed                      // and that were no good
	tlsCounterCount
)

// tlsCounters are their names, and what they count and what a rise means.
var tlsCounters = [tlsCounterCount]struct{ name, help string }{
	TLSHandshakes:       {"tls_handshakes", "TLS handshakes that succeeded, both those of peers and our own. A rise is new connections."},
	TLSHandshakesFailed: {"tls_handshakes_failed", "TLS handshakes that failed, both ways, and plain streams where TLS is required. A rise means wrong certificates or clients; the log says which."},
	TLSReloads:          {"tls_reloads", "New credentials that were read from their files and taken. A rise is a certificate that was replaced."},
	TLSReloadsFailed:    {"tls_reloads_failed", "New credentials that were no good, so that the old ones stay. Any rise wants a look before the old ones expire."},
}

// String is the counter's name in snake case, as metrics have it.
func (c TLSCounter) String() string { return tlsCounters[c].name }

// Help says in a sentence or two what is counted, and what a rise means.
func (c TLSCounter) Help() string { return tlsCounters[c].help }

func (t *TLS) count(c TLSCounter) { t.counts[c].Add(1) }

// Get gives one counter.
func (t *TLS) Get(c TLSCounter) uint64 { return t.counts[c].Load() }

// Stats gives every counter by name; the map is the caller's.
func (t *TLS) Stats() map[string]uint64 {
	all := make(map[string]uint64, tlsCounterCount)
	for c := range tlsCounterCount {
		all[c.String()] = t.Get(c)
	}
	return all
}
