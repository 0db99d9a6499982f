package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrExists tells that a file is there already.
var ErrExists = errors.New("certs: file exists")

// Pair is a certificate with its private key, both PEM.
type Pair struct {
	Cert []byte
	Key  []byte // PKCS #8; secret
}

func newPair(der []byte, key *ecdsa.PrivateKey) (*Pair, error) {
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	return &Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}, nil
}

// parse gives the first certificate and the key, which belong together.
func (p *Pair) parse() (*x509.Certificate, crypto.Signer, error) {
	both, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		return nil, nil, fmt.Errorf("certs: %w", err)
	}
	key, ok := both.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, nil, errors.New("certs: the private key cannot sign")
	}
	return both.Leaf, key, nil
}

// Certificate gives the certificate, parsed.
func (p *Pair) Certificate() (*x509.Certificate, error) {
	cert, _, err := p.parse()
	return cert, err
}

// ReadFiles reads what WriteFiles wrote.
func ReadFiles(certFile, keyFile string) (*Pair, error) {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	p := &Pair{Cert: cert, Key: key}
	if _, _, err := p.parse(); err != nil {
		return nil, fmt.Errorf("%s and %s: %w", certFile, keyFile, err)
	}
	return p, nil
}

// WriteFiles writes both files, the key for its owner only (mode 0600), and
// makes their folders. Who reads them meanwhile sees each whole, old or new. If
// one is there it writes nothing and gives ErrExists, unless overwrite is set.
func (p *Pair) WriteFiles(certFile, keyFile string, overwrite bool) error {
	for _, file := range []string{certFile, keyFile} {
		if _, err := os.Lstat(file); !overwrite && err == nil {
			return fmt.Errorf("%w: %s", ErrExists, file)
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := writeFile(keyFile, p.Key, 0o600); err != nil {
		return err
	}
	return writeFile(certFile, p.Cert, 0o644)
}

// writeFile puts a whole new file in the place of an old one.
func writeFile(path string, data []byte, mode fs.FileMode) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".meshnode-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
