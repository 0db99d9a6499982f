package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"time"

	"github.com/meshnode/meshnode/certs"
	"github.com/meshnode/meshnode/transport"
)

// startMeshRawTLS is mesh-raw with certificates on both sides.
func startMeshRawTLS(ctx context.Context) (Peer, error) {
	ca, err := certs.NewAuthority(certs.AuthorityOptions{})
	if err != nil {
		return nil, err
	}
	pair, err := startMesh(ctx, func(name string) (*transport.TLS, error) { return nodeTLS(ca, name) })
	return meshRawPeer{pair, meshRaw}, err
}

// nodeTLS gives a node a certificate of its own.
func nodeTLS(ca *certs.Authority, name string) (*transport.TLS, error) {
	pair, err := ca.IssueNode(name, time.Hour)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return nil, err
	}
	creds := &transport.Credentials{Certificate: cert, CAs: x509.NewCertPool()}
	creds.CAs.AppendCertsFromPEM(ca.Pair().Cert)
	return transport.NewTLS(transport.TLSConfig{Load: func() (*transport.Credentials, error) { return creds, nil }})
}
