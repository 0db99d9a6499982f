package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/meshnode/meshnode/certs"
)

// The protocols that TLS negotiates (ALPN).
const (
	protoMesh   = "meshnode/1"
	protoGossip = "meshnode-gossip/1"
	protoHTTP1  = "http/1.1"
)

// DefaultRecheck is how often credentials are looked at again at most.
const DefaultRecheck = time.Second

// Credentials are what a process proves its name with, and whom it trusts.
// They are immutable.
type Credentials struct {
	Certificate tls.Certificate // with its chain and key
	CAs         *x509.CertPool  // who may sign peers
}

// TLSConfig says where credentials come from.
type TLSConfig struct {
	// Load gives the credentials as they are now; the same pointer means that
	// nothing has changed. It is called by NewTLS, and later by handshakes, at
	// most once per Recheck, maybe from several goroutines. CredentialFiles
	// gives one for files. Required.
	Load    func() (*Credentials, error)
	Recheck time.Duration // 0: DefaultRecheck
	Logger  zerolog.Logger
}

// TLS makes and judges TLS connections: version 1.3 at least, certificates on
// both sides. New credentials count from the next handshake on; connections
// that are open stay. New credentials that are no good are logged and counted,
// and the old ones stay.
//
// All methods are safe for concurrent use. There is no goroutine behind it, and
// nothing to close.
//
// Invariant: what state holds has been checked against every bound name.
type TLS struct {
	cfg     TLSConfig
	log     zerolog.Logger // for what strangers cause: bursts are cut
	counts  [tlsCounterCount]atomic.Uint64
	state   atomic.Pointer[tlsState]
	start   time.Time
	checkAt atomic.Int64 // no look at the credentials before, in ns since start

	mu      sync.Mutex
	names   []string     // that the certificate must hold
	refused *Credentials // the last ones that were no good
	failure string       // of the last Load, if it failed
}

// tlsState is what one set of credentials makes.
type tlsState struct {
	creds                *Credentials
	server, mesh, gossip *tls.Config
}

// NewTLS loads the credentials and checks that they are valid now: the
// certificate has not expired, and one of the CAs has signed it.
func NewTLS(cfg TLSConfig) (*TLS, error) {
	if cfg.Load == nil {
		return nil, errors.New("transport: TLSConfig without Load")
	}
	if cfg.Recheck <= 0 {
		cfg.Recheck = DefaultRecheck
	}
	t := &TLS{
		cfg: cfg, start: time.Now(),
		log: cfg.Logger.Sample(&zerolog.BurstSampler{Burst: 20, Period: 10 * time.Second}),
	}
	creds, err := t.load()
	if err != nil {
		return nil, err
	}
	state, err := newTLSState(creds)
	if err != nil {
		return nil, err
	}
	t.state.Store(state)
	t.checkAt.Store(int64(cfg.Recheck))
	return t, nil
}

// load calls Load, which is the user's. A panic is an error like any other.
func (t *TLS) load() (creds *Credentials, err error) {
	defer func() {
		if p := recover(); p != nil {
			creds, err = nil, fmt.Errorf("transport: TLSConfig.Load panicked: %v", p)
		}
	}()
	if creds, err = t.cfg.Load(); creds == nil && err == nil {
		err = errors.New("transport: TLSConfig.Load returned neither credentials nor an error")
	}
	return creds, err
}

// bind demands that the certificate, and each later one, is that of the node
// called name.
func (t *TLS) bind(name string) error {
	if name == "" {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := isNode(t.state.Load().creds.Certificate.Leaf, name); err != nil {
		return fmt.Errorf("this node cannot use its certificate: %w", err)
	}
	if !slices.Contains(t.names, name) {
		t.names = append(t.names, name)
	}
	return nil
}

// isNode tells whether a certificate is that of the node called name.
func isNode(leaf *x509.Certificate, name string) error {
	names := certs.Names(leaf)
	switch {
	case slices.Contains(names, name):
		return forNodes(leaf)
	case len(names) == 0:
		return fmt.Errorf("%w: it is that of the client %.128q, which no node can use; want one of the node %q",
			ErrCertificateName, leaf.Subject.CommonName, name)
	}
	return fmt.Errorf("%w: it names %.256q, not %q", ErrCertificateName, names, name)
}

// forNodes tells whether a certificate may be used at both ends of a
// connection, as that of a node must be.
func forNodes(leaf *x509.Certificate) error {
	for _, use := range leaf.ExtKeyUsage {
		if use == x509.ExtKeyUsageServerAuth || use == x509.ExtKeyUsageAny {
			return nil
		}
	}
	if len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) == 0 {
		return nil // it says nothing about it
	}
	return fmt.Errorf("%w: it is for clients, not for nodes", ErrCertificateUse)
}

// current gives what handshakes use from now on. Once in a while it first has
// a look whether there is something new.
func (t *TLS) current() *tlsState {
	now, due := int64(time.Since(t.start)), t.checkAt.Load()
	if now >= due && t.checkAt.CompareAndSwap(due, now+int64(t.cfg.Recheck)) {
		t.reload()
	}
	return t.state.Load()
}

func (t *TLS) reload() {
	creds, err := t.load()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err != nil:
		if text := err.Error(); text != t.failure {
			t.failure = text
			t.rejectLocked(err)
		}
		return
	case creds == t.state.Load().creds:
		t.failure, t.refused = "", nil
		return
	}
	t.failure = ""
	state, err := newTLSState(creds)
	if err == nil {
		for _, name := range t.names {
			err = errors.Join(err, isNode(creds.Certificate.Leaf, name))
		}
	}
	if err != nil {
		// They are tried again: what is not valid yet may become so.
		if creds != t.refused {
			t.refused = creds
			t.rejectLocked(err)
		}
		return
	}
	t.refused = nil
	t.state.Store(state)
	t.count(TLSReloads)
	t.cfg.Logger.Info().Time("not_after", creds.Certificate.Leaf.NotAfter).Strs("names", certs.Names(creds.Certificate.Leaf)).
		Msg("new TLS certificate in use")
}

func (t *TLS) rejectLocked(err error) {
	t.count(TLSReloadsFailed)
	t.cfg.Logger.Error().Err(err).Time("old_not_after", t.state.Load().creds.Certificate.Leaf.NotAfter).
		Msg("the new TLS certificate cannot be used; the old one stays")
}

// newTLSState makes configurations of creds that are good now.
func newTLSState(creds *Credentials) (*tlsState, error) {
	cert := &creds.Certificate
	if cert.Leaf == nil || creds.CAs == nil {
		return nil, errors.New("transport: credentials without a parsed certificate or without CAs")
	}
	if err := verifyChain(cert.Leaf, creds.CAs, intermediates(cert), x509.ExtKeyUsageAny); err != nil {
		return nil, fmt.Errorf("own certificate: %w", err)
	}
	return configure(creds), nil
}

// configure makes configurations of creds as they are.
func configure(creds *Credentials) *tlsState {
	cert := &creds.Certificate
	base := tls.Config{
		MinVersion: tls.VersionTLS13,
		// A resumed session would skip what rotation is for. Connections last.
		SessionTicketsDisabled: true,
		// Small first records help browsers; here they cost.
		DynamicRecordSizingDisabled: true,
	}
	s := &tlsState{creds: creds, server: base.Clone()}
	s.server.Certificates = []tls.Certificate{*cert}
	s.server.ClientAuth, s.server.ClientCAs = tls.RequireAndVerifyClientCert, creds.CAs
	s.server.NextProtos = []string{protoMesh, protoGossip, protoHTTP1} // HTTP to be told that it is wrong here
	s.server.VerifyConnection = func(cs tls.ConnectionState) error {
		if cs.NegotiatedProtocol == protoGossip {
			return forNodes(cs.PeerCertificates[0])
		}
		return nil
	}
	s.mesh = base.Clone()
	s.mesh.NextProtos = []string{protoMesh}
	// Always ours: the default leaves it out when the server's CAs seem to be
	// others, and the server could not say what is wrong with it.
	s.mesh.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	// Nodes are no hosts: VerifyConnection checks the chain, and the endpoint
	// the name.
	s.mesh.InsecureSkipVerify = true
	s.mesh.VerifyConnection = func(cs tls.ConnectionState) error {
		pool := x509.NewCertPool()
		for _, c := range cs.PeerCertificates[1:] {
			pool.AddCert(c)
		}
		return verifyChain(cs.PeerCertificates[0], creds.CAs, pool, x509.ExtKeyUsageServerAuth)
	}
	s.gossip = s.mesh.Clone()
	s.gossip.NextProtos = []string{protoGossip}
	return s
}

func intermediates(cert *tls.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, der := range cert.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			pool.AddCert(c)
		}
	}
	return pool
}

// verifyChain checks a certificate at this moment; the error has a name.
func verifyChain(leaf *x509.Certificate, roots, between *x509.CertPool, use x509.ExtKeyUsage) error {
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{use}})
	return chainError(err)
}

// Verify returns nil if the certificates that a node has proved its name with
// (Conn.Certificates) would be taken now, with the CAs that are trusted now, and
// else why not, as a handshake would: ErrCertificateExpired, ErrUnknownCA and so on.
// None at all are taken.
func (t *TLS) Verify(chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return nil
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	return verifyChain(chain[0], t.current().creds.CAs, between, x509.ExtKeyUsageServerAuth)
}

// Own returns the credentials that handshakes use from now on. It looks whether there
// are new ones as a handshake does.
func (t *TLS) Own() *Credentials { return t.current().creds }

// Valid returns nil if peers that trust the same CAs take this process's certificate
// now, and else why not. It looks whether there is a new one as a handshake does.
func (t *TLS) Valid() error {
	creds := t.current().creds
	return verifyChain(creds.Certificate.Leaf, creds.CAs, intermediates(&creds.Certificate), x509.ExtKeyUsageAny)
}
