package transport

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"sync"
)

// maxCredentialFile is the longest file that is taken for one, in bytes.
const maxCredentialFile = 1 << 20

// CredentialFiles gives a TLSConfig.Load that reads PEM files: a certificate
// with those between it and its CA, the private key, and the certificates of
// the CAs that are trusted, any number of them. It reads the files anew each
// time and compares what they hold, so it does not matter how they are
// replaced: by a rename, in place, or behind a symbolic link. Files that do
// not go together, as in the middle of a change, are an error.
func CredentialFiles(cert, key, ca string) func() (*Credentials, error) {
	f := &credentialFiles{paths: [3]string{cert, key, ca}}
	return f.load
}

// credentialFiles remembers what it read.
//
// Invariant: creds and err are what text makes.
type credentialFiles struct {
	paths [3]string // certificate, key, CAs

	mu    sync.Mutex
	text  [3][]byte
	creds *Credentials
	err   error
}

func (f *credentialFiles) load() (*Credentials, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var text [3][]byte
	same := f.creds != nil || f.err != nil
	for i, path := range f.paths {
		var err error
		if text[i], err = readCredential(path); err != nil {
			return nil, err
		}
		same = same && bytes.Equal(text[i], f.text[i])
	}
	if !same {
		f.text = text
		f.creds, f.err = f.parse()
	}
	return f.creds, f.err
}

func readCredential(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(file, maxCredentialFile+1))
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	if len(text) > maxCredentialFile {
		return nil, fmt.Errorf("transport: %s is longer than %d bytes; it should hold PEM", path, maxCredentialFile)
	}
	return text, nil
}

func (f *credentialFiles) parse() (*Credentials, error) {
	pair, err := tls.X509KeyPair(f.text[0], f.text[1])
	if err != nil {
		return nil, fmt.Errorf("transport: certificate %s with key %s: %w", f.paths[0], f.paths[1], err)
	}
	cas, err := parseCAs(f.text[2])
	if err != nil {
		return nil, fmt.Errorf("transport: CA file %s: %w", f.paths[2], err)
	}
	return &Credentials{Certificate: pair, CAs: cas}, nil
}

// parseCAs takes all of a file or nothing of it: a CA that was left out in
// silence would be missed when it is too late.
func parseCAs(text []byte) (*x509.CertPool, error) {
	pool, found := x509.NewCertPool(), 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it holds a %s; want certificates only", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		pool.AddCert(cert)
		found++
	}
	if found == 0 {
		return nil, fmt.Errorf("it holds no PEM certificate")
	}
	return pool, nil
}
