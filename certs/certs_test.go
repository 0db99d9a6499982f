package certs

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func authority(t testing.TB) *Authority {
	t.Helper()
	ca, err := NewAuthority(AuthorityOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func leaf(t testing.TB, p *Pair, err error) *x509.Certificate {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := p.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// What an authority issues is good for what it was issued for, and names the
// node and nobody else.
func TestIssue(t *testing.T) {
	ca := authority(t)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, name := range []string{
		"node-1", "db.1", "Node_1", "a", "a:b", "a b%c"[:1] + "%41", "*", "*.x", ".", "..", "a..b", "-a", "a-", "ca",
		strings.Repeat("n", 64), strings.Repeat("n", MaxName), "meshnode:x", "q?x#y", "[1]", "~!@$^&*()+='\"<>\\|{}`;,",
	} {
		pair, err := ca.IssueNode(name, DefaultValid)
		cert := leaf(t, pair, err)
		if got := Names(cert); !slices.Equal(got, []string{name}) {
			t.Errorf("a certificate for %q names %q", name, got)
		}
		for _, use := range both {
			if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
				t.Errorf("%q: %v", name, err)
			}
		}
		if cert.IsCA {
			t.Errorf("%q may sign others", name)
		}
		if _, err := LoadAuthority(pair); err == nil {
			t.Errorf("%q passes for an authority", name)
		}
	}
	pair, err := ca.IssueClient("admin", DefaultValid)
	client := leaf(t, pair, err)
	if got := Names(client); len(got) > 0 {
		t.Errorf("a client's certificate names %q", got)
	}
	if _, err := client.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: both[:1]}); err == nil {
		t.Error("a client's certificate does for a server")
	}
	for _, name := range []string{"", "a b", "a/b", "a\n", "ä", strings.Repeat("n", MaxName+1)} {
		if _, err := ca.IssueNode(name, DefaultValid); err == nil {
			t.Errorf("the name %q is taken", name)
		}
		if _, err := ca.IssueClient(name, DefaultValid); err == nil {
			t.Errorf("the name %q is taken for a client", name)
		}
	}
}

// Nothing outlives its authority, and nothing is issued that was never valid.
func TestValidity(t *testing.T) {
	ca, err := NewAuthority(AuthorityOptions{Valid: time.Hour, Name: "short"})
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(ca.NotAfter()); left > time.Hour || left < 59*time.Minute {
		t.Errorf("the authority ends in %v", left)
	}
	pair, err := ca.IssueNode("a", 24*time.Hour)
	cert := leaf(t, pair, err)
	if !cert.NotAfter.Equal(ca.NotAfter()) || time.Since(cert.NotBefore) < 4*time.Minute || cert.Issuer.CommonName != "short" {
		t.Errorf("%v to %v by %v", cert.NotBefore, cert.NotAfter, cert.Issuer)
	}
	from := time.Now().Add(2 * time.Hour)
	if _, err := ca.IssueNodeAt("a", from, from.Add(time.Hour)); err == nil {
		t.Error("a certificate begins after its end")
	}
}

// Only the two forms name a node.
func TestNames(t *testing.T) {
	parse := func(text string) *url.URL {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	cert := &x509.Certificate{DNSNames: []string{"a", "b.c"}}
	cert.Subject.CommonName = "common"
	for _, text := range []string{
		"meshnode:x%2Ay", "meshnode:*", "meshnode://host/x", "meshnode:/x", "meshnode:x?q", "meshnode:x#f", "spiffe://d/x", "http:x", "meshnode:x%2a",
	} {
		cert.URIs = append(cert.URIs, parse(text))
	}
	if got, want := Names(cert), []string{"a", "b.c", "x*y"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Whoever is no node goes by the first name that there is.
func TestSubject(t *testing.T) {
	uri, err := url.Parse("spiffe://d/x")
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{DNSNames: []string{"a", "b"}, URIs: []*url.URL{uri}, EmailAddresses: []string{"m@x"}}
	cert.Subject.CommonName = "common"
	for _, step := range []struct {
		want   string
		remove func()
	}{
		{"common", func() { cert.Subject.CommonName = "" }},
		{"a", func() { cert.DNSNames = nil }},
		{"spiffe://d/x", func() { cert.URIs = nil }},
		{"m@x", func() { cert.EmailAddresses = nil }},
		{"", func() {}},
	} {
		if got := Subject(cert); got != step.want {
			t.Errorf("%q, want %q", got, step.want)
		}
		step.remove()
	}
	pair, err := authority(t).IssueClient("admin", DefaultValid)
	if got := Subject(leaf(t, pair, err)); got != "admin" {
		t.Errorf("a client called admin is %q", got)
	}
}

func TestFiles(t *testing.T) {
	ca, dir := authority(t), filepath.Join(t.TempDir(), "new")
	crt, key := filepath.Join(dir, "a.crt"), filepath.Join(dir, "a.key")
	first, err := ca.IssueNode("a", DefaultValid)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.WriteFiles(crt, key, false); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(key); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info, err)
	}
	second, err := ca.IssueNode("a", DefaultValid)
	if err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{"", crt} { // the key alone is reason enough
		if gone != "" {
			if err := os.Remove(gone); err != nil {
				t.Fatal(err)
			}
		}
		if err := second.WriteFiles(crt, key, false); !errors.Is(err, ErrExists) {
			t.Errorf("overwriting gives %v", err)
		}
	}
	if got, _ := os.ReadFile(key); string(got) != string(first.Key) {
		t.Error("the key was overwritten")
	}
	if err := second.WriteFiles(crt, key, true); err != nil {
		t.Fatal(err)
	}
	back, err := ReadFiles(crt, key)
	if err != nil || string(back.Cert) != string(second.Cert) || string(back.Key) != string(second.Key) {
		t.Errorf("what was written comes back as %v, %v", back, err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 2 {
		t.Errorf("the folder holds %v, %v", names, err)
	}
	if err := (&Pair{Cert: first.Cert, Key: second.Key}).WriteFiles(crt, key, true); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFiles(crt, key); err == nil || !strings.Contains(err.Error(), crt) {
		t.Errorf("a key of another certificate: %v", err)
	}
	if _, err := ReadFiles(crt, filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
