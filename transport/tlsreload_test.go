package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/meshnode/meshnode/certs"
)

// identityFiles are the files of one process.
type identityFiles struct{ crt, key, ca string }

func newIdentityFiles(dir, name string) identityFiles {
	at := func(end string) string { return filepath.Join(dir, name+end) }
	return identityFiles{at(".crt"), at(".key"), at(".ca")}
}

func (f identityFiles) tls(t testing.TB, log zerolog.Logger) *TLS {
	t.Helper()
	x, err := NewTLS(TLSConfig{Load: CredentialFiles(f.crt, f.key, f.ca), Recheck: time.Millisecond, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func (f identityFiles) trust(t testing.TB, cas ...*testCA) {
	t.Helper()
	var bundle []byte
	for _, ca := range cas {
		bundle = append(bundle, ca.Pair().Cert...)
	}
	replace(t, f.ca, bundle)
}

// replace puts a file into the place of another in one step.
func replace(t testing.TB, path string, data []byte) {
	t.Helper()
	err := os.WriteFile(path+".new", data, 0o600)
	if err = errors.Join(err, os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

func (f identityFiles) issue(t testing.TB, ca *testCA, name string) {
	t.Helper()
	pair, err := ca.IssueNode(name, time.Hour)
	if err = errors.Join(err, pair.WriteFiles(f.crt, f.key, true)); err != nil {
		t.Fatal(err)
	}
}

// Certificates, keys and CAs are replaced while calls run on old and on new
// connections: none fails, and the old connections stay.
func TestTLSRotation(t *testing.T) {
	dir := t.TempDir()
	first, second := newTestCA(t), newTestCA(t)
	names := []string{"a", "b"}
	files, sides := make(map[string]identityFiles), make(map[string]*TLS)
	for _, name := range names {
		f := newIdentityFiles(dir, name)
		f.trust(t, first)
		f.issue(t, first, name)
		files[name], sides[name] = f, f.tls(t, zerolog.Nop())
	}
	l := &lab{t, System()}
	h := l.host(Config{Name: "b", Handler: echo{}, TLS: sides["b"]})
	ep := l.endpoint(Config{Name: "a", TLS: sides["a"]})
	old := l.dial(ep, h)

	var calls atomic.Int64
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 3 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := ep.Dial(context.Background(), h.addr, "b")
				if err != nil {
					t.Errorf("dial: %v", err)
					return
				}
				call(t, c, "echo", []byte("new"))
				call(t, old, "echo", []byte("old"))
				c.Close()
				calls.Add(2)
			}
		})
	}
	step := func(what string, change func(name string, f identityFiles)) {
		before := map[string]uint64{}
		for _, name := range names {
			before[name] = sides[name].Get(TLSReloads)
			change(name, files[name])
		}
		done := calls.Load()
		eventually(t, what, func() bool {
			return sides["a"].Get(TLSReloads) > before["a"] && sides["b"].Get(TLSReloads) > before["b"] && calls.Load() > done+20
		})
	}
	step("a new certificate", func(name string, f identityFiles) { f.issue(t, first, name) })
	step("both CAs", func(_ string, f identityFiles) { f.trust(t, first, second) })
	step("certificates of the second CA", func(name string, f identityFiles) { f.issue(t, second, name) })
	step("the second CA alone", func(_ string, f identityFiles) { f.trust(t, second) })
	close(stop)
	load.Wait()
	same(t, "the old connection's end", old.Err(), nil)
	stranger := l.endpoint(Config{Name: "a", TLS: unchecked(first.credentials(t, "a", second))})
	_, err := stranger.Dial(context.Background(), h.addr, "b")
	is(t, "a certificate of the first CA", err, ErrUnknownCA, false)
	t.Logf("%d calls, 0 failed", calls.Load())
}

// What is no good is told of once and counted once, and the old credentials
// stay until something good comes.
func TestTLSBadReload(t *testing.T) {
	dir, ca, other := t.TempDir(), newTestCA(t), newTestCA(t)
	f := newIdentityFiles(dir, "a")
	f.trust(t, ca)
	f.issue(t, ca, "a")
	var log logText
	x := f.tls(t, zerolog.New(&log))
	if err := x.bind("a"); err != nil {
		t.Fatal(err)
	}
	look := func() { // at the files, whenever the last look was
		x.checkAt.Store(0)
		x.current()
	}
	good := x.current()
	expired := func() {
		pair, err := ca.IssueNodeAt("a", time.Now().Add(-time.Hour), time.Now().Add(-time.Minute))
		if err = errors.Join(err, pair.WriteFiles(f.crt, f.key, true)); err != nil {
			t.Fatal(err)
		}
	}
	for n, c := range []struct {
		change func()
		want   string
	}{
		{func() { replace(t, f.key, []byte("garbage")) }, "a.key"},
		{func() { replace(t, f.crt, nil) }, "a.crt"},
		{func() { _ = os.Remove(f.crt) }, "a.crt"},
		{func() { replace(t, f.crt, bytes.Repeat([]byte("x"), maxCredentialFile+1)) }, "longer than"},
		{func() { f.issue(t, ca, "b") }, ErrCertificateName.Error()},
		{expired, ErrCertificateExpired.Error()},
		{func() { f.issue(t, other, "a") }, ErrUnknownCA.Error()},
		{func() { f.issue(t, ca, "a"); replace(t, f.ca, nil) }, "no PEM certificate"},
		{func() { replace(t, f.ca, append(ca.Pair().Cert, ca.Pair().Key...)) }, "PRIVATE KEY"},
		{func() { f.trust(t, other) }, ErrUnknownCA.Error()},
	} {
		c.change()
		for range 3 {
			look()
		}
		same(t, c.want+": counted", x.Get(TLSReloadsFailed), uint64(n)+1)
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if last := lines[len(lines)-1]; len(lines) != n+1 || !strings.Contains(last, c.want) {
			t.Errorf("%d lines, the last %s; want %q", len(lines), last, c.want)
		}
		same(t, "what is in use", x.current(), good)
	}
	f.trust(t, ca)
	f.issue(t, ca, "a")
	look()
	look()
	same(t, "good ones taken", x.Get(TLSReloads), 1)
	same(t, "counters", fmt.Sprint(x.Stats()), "map[tls_handshakes:0 tls_handshakes_failed:0 tls_reloads:1 tls_reloads_failed:10]")
}

// A certificate that is not valid yet is taken when its time has come, and
// nobody looks more often than once in a while.
func TestTLSReloadInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, looks := newTestCA(t), 0
		creds := ca.credentials(t, "a")
		x, err := NewTLS(TLSConfig{Load: func() (*Credentials, error) { looks++; return creds, nil }})
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			x.current()
			time.Sleep(100 * time.Millisecond)
		}
		if looks < 9 || looks > 11 {
			t.Errorf("%d looks within 10 s, want one a second", looks)
		}
		pair, err := ca.IssueNodeAt("a", time.Now().Add(time.Minute), time.Now().Add(time.Hour))
		creds = ca.made(t, pair, err)
		for range 50 {
			time.Sleep(time.Second)
			x.current()
		}
		same(t, "before its time", x.current().creds == creds, false)
		same(t, "told", x.Get(TLSReloadsFailed), 1)
		time.Sleep(11 * time.Second)
		same(t, "in its time", x.current().creds == creds, true)
	})
}

func TestNewTLSRefuses(t *testing.T) {
	ca, other := newTestCA(t), newTestCA(t)
	pair, err := ca.IssueNodeAt("a", time.Now().Add(-time.Hour), time.Now().Add(-time.Minute))
	for what, c := range map[string]struct {
		load func() (*Credentials, error)
		want error
	}{
		"expired":      {func() (*Credentials, error) { return ca.made(t, pair, err), nil }, ErrCertificateExpired},
		"of no CA":     {func() (*Credentials, error) { return ca.credentials(t, "a", other), nil }, ErrUnknownCA},
		"no file":      {CredentialFiles("no-such-file", "", ""), fs.ErrNotExist},
		"nothing":      {func() (*Credentials, error) { return &Credentials{}, nil }, nil},
		"no Load":      {nil, nil},
		"its own word": {func() (*Credentials, error) { return nil, certs.ErrExists }, certs.ErrExists},
	} {
		if _, err := NewTLS(TLSConfig{Load: c.load}); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
}
