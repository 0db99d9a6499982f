package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rs/zerolog"

	"github.com/meshnode/meshnode/certs"
	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/transport"
)

// devClient is the name of dev's own certificate.
const devClient = "client"

// devTLS gives each process a certificate of a CA that lives as long as dev,
// and all of them a gossip key. It returns what dev itself needs; tidy removes
// the folder that holds it all.
func (a *app) devTLS(procs []*process) (security *transport.TLS, tidy func() error, err error) {
	dir, err := os.MkdirTemp("", "meshnode-dev-tls-")
	if err != nil {
		return nil, nil, err
	}
	tidy = func() error { return os.RemoveAll(dir) }
	files, err := writeDevTLS(dir, procs)
	if err == nil {
		security, err = files.load(zerolog.Nop())
	}
	if err != nil {
		return nil, nil, errors.Join(err, tidy())
	}
	if !a.json() {
		fmt.Fprintf(a.stderr, "TLS; ask the nodes with --tls-ca %s --tls-cert %s --tls-key %s\n",
			quoted(files.ca), quoted(files.cert), quoted(files.key))
	}
	return security, tidy, nil
}

func writeDevTLS(dir string, procs []*process) (*tlsFlags, error) {
	ca, err := certs.NewAuthority(certs.AuthorityOptions{Name: "meshnode dev"})
	if err != nil {
		return nil, err
	}
	caFile, gossip := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "gossip.key")
	if err := os.WriteFile(caFile, ca.Pair().Cert, 0o600); err != nil { // its key is not kept
		return nil, err
	}
	if err := os.WriteFile(gossip, []byte(membership.FormatKey(membership.GenerateKey())), 0o600); err != nil {
		return nil, err
	}
	write := func(name string, pair *certs.Pair, err error) (*tlsFlags, error) {
		if err != nil {
			return nil, err
		}
		f := &tlsFlags{ca: caFile, cert: filepath.Join(dir, name+".crt"), key: filepath.Join(dir, name+".key")}
		return f, pair.WriteFiles(f.cert, f.key, false)
	}
	for _, p := range procs {
		pair, err := ca.IssueNode(p.name, certs.DefaultValid)
		f, err := write(p.name, pair, err)
		if err != nil {
			return nil, err
		}
		p.args = append(p.args, "--gossip-key", "@"+gossip, "--tls-ca", f.ca, "--tls-cert", f.cert, "--tls-key", f.key)
	}
	pair, err := ca.IssueClient(devClient, certs.DefaultValid)
	return write(devClient, pair, err)
}
