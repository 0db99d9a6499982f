package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"time"
)

// How long what is issued is valid, unless told otherwise.
const (
	DefaultAuthorityValid = 5 * 365 * 24 * time.Hour
	DefaultValid          = 365 * 24 * time.Hour
)

// DefaultAuthorityName is the common name of an authority that was given none.
const DefaultAuthorityName = "meshnode development CA"

// backdate is how long before its issue a certificate is valid, for clocks
// that are behind.
const backdate = 5 * time.Minute

// Authority is a certificate authority that signs nodes and clients.
//
// Invariant: key belongs to cert, which may sign certificates.
type Authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pair *Pair
}

// AuthorityOptions says what authority to make. The zero value will do.
type AuthorityOptions struct {
	Name  string        // common name; empty: DefaultAuthorityName
	Valid time.Duration // from now; 0: DefaultAuthorityValid
}

// NewAuthority makes an authority with a fresh key (ECDSA P-256).
func NewAuthority(o AuthorityOptions) (*Authority, error) {
	if o.Name == "" {
		o.Name = DefaultAuthorityName
	}
	if o.Valid == 0 {
		o.Valid = DefaultAuthorityValid
	}
	now := time.Now()
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: o.Name},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(o.Valid),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	pair, err := sign(template, template, key, key)
	if err != nil {
		return nil, err
	}
	return LoadAuthority(pair)
}

// LoadAuthority gives the authority whose certificate and key p holds.
func LoadAuthority(p *Pair) (*Authority, error) {
	cert, key, err := p.parse()
	if err != nil {
		return nil, err
	}
	if !cert.IsCA || cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, errors.New("certs: the certificate is not that of an authority: it may not sign others")
	}
	return &Authority{cert: cert, key: key, pair: p}, nil
}

// Pair is the authority's own certificate and key. Whoever has the key can
// make nodes; nodes need the certificate only.
func (a *Authority) Pair() *Pair { return a.pair }

// NotAfter is when the authority ends; nothing that it issues lives longer.
func (a *Authority) NotAfter() time.Time { return a.cert.NotAfter }

// IssueNode makes a certificate, with a fresh key, for the node of that name.
// It is valid from five minutes ago until valid from now, or until the
// authority ends.
func (a *Authority) IssueNode(name string, valid time.Duration) (*Pair, error) {
	now := time.Now()
	return a.IssueNodeAt(name, now.Add(-backdate), now.Add(valid))
}

// IssueNodeAt is IssueNode with a time of validity of one's own.
func (a *Authority) IssueNodeAt(name string, from, to time.Time) (*Pair, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if isDNSName(name) {
		template.DNSNames = []string{name}
	} else {
		template.URIs = []*url.URL{nameURI(name)}
	}
	return a.issue(template)
}

// IssueClient makes a certificate for somebody who calls the mesh from outside.
// The name is for people: no node can use the certificate.
func (a *Authority) IssueClient(name string, valid time.Duration) (*Pair, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	now := time.Now()
	return a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-backdate), NotAfter: now.Add(valid),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

func (a *Authority) issue(template *x509.Certificate) (*Pair, error) {
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.BasicConstraintsValid = true
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	if !template.NotBefore.Before(template.NotAfter) {
		return nil, fmt.Errorf("certs: nothing to issue that ends at %v and begins at %v",
			template.NotAfter.Format(time.RFC3339), template.NotBefore.Format(time.RFC3339))
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	return sign(template, a.cert, key, a.key)
}

// sign makes a certificate for key, signed by the parent's.
func sign(template, parent *x509.Certificate, key *ecdsa.PrivateKey, by crypto.Signer) (*Pair, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1))
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	return newPair(der, key)
}
