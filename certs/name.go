package certs

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"
)

// MaxName bounds the name of a node, in bytes.
const MaxName = 128

// scheme begins the URI of a node name that is no DNS name.
const scheme = "meshnode"

// Names gives the names of nodes that a certificate holds, in its order: each
// of its DNS names as it stands, and what follows "meshnode:" in a URI, percent
// encoded, for names that cannot be DNS names. Case matters, a wildcard names
// nobody but itself, and the common name counts for nothing.
func Names(cert *x509.Certificate) []string {
	names := append([]string(nil), cert.DNSNames...)
	for _, uri := range cert.URIs {
		name, err := url.PathUnescape(uri.Opaque)
		if uri.Scheme == scheme && err == nil && nameURI(name).String() == uri.String() {
			names = append(names, name)
		}
	}
	return names
}

// Subject returns the name of whoever a certificate was issued to, as a caller from outside of
// the mesh: its common name or, if it has none, the first of its DNS names, URIs and e-mail
// addresses. It is empty if there is none of these. It makes nobody a node; see Names.
func Subject(cert *x509.Certificate) string {
	switch {
	case cert.Subject.CommonName != "":
		return cert.Subject.CommonName
	case len(cert.DNSNames) > 0:
		return cert.DNSNames[0]
	case len(cert.URIs) > 0:
		return cert.URIs[0].String()
	case len(cert.EmailAddresses) > 0:
		return cert.EmailAddresses[0]
	}
	return ""
}

// nameURI is the one URI of a name.
func nameURI(name string) *url.URL {
	return &url.URL{Scheme: scheme, Opaque: url.PathEscape(name)}
}

// checkName tells whether a node can have that name.
func checkName(name string) error {
	ok := len(name) > 0 && len(name) <= MaxName
	for i := range len(name) {
		ok = ok && name[i] > ' ' && name[i] <= '~' && name[i] != '/'
	}
	if !ok {
		return fmt.Errorf("certs: node name %q; want 1 to %d printable ASCII characters without spaces and slashes", name, MaxName)
	}
	return nil
}

// isDNSName tells whether other programs take name for a DNS name too.
func isDNSName(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i] | 0x20
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' && label[i] == c || label[i] == '-' || label[i] == '_') {
				return false
			}
		}
	}
	return true
}
