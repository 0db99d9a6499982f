package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// httpClient asks what network connects to.
func httpClient(l *lab, wrap func(net.Conn) net.Conn) *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			raw := l.net
			if n, ok := raw.(*tlsNet); ok {
				raw = n.Network
			}
			nc, err := raw.Dial(ctx, addr)
			if err == nil && wrap != nil {
				nc = wrap(nc)
			}
			return nc, err
		},
	}}
}

// HTTP is told what it has reached, whatever it asks for: on plain ports, on those
// with TLS, and inside of TLS, with ALPN and without.
func TestHTTPIsAnswered(t *testing.T) {
	overAll(t, func(l *lab) {
		var log logText
		h := l.host(Config{Name: "b", Handler: echo{}, Logger: zerolog.New(&log)})
		wraps := map[string]func(net.Conn) net.Conn{"plain": nil}
		if n, ok := l.net.(*tlsNet); ok {
			for name, protocols := range map[string][]string{"TLS": nil, "TLS and ALPN": {"h2", "http/1.1"}} {
				config := n.of(anyone).current().mesh.Clone()
				config.NextProtos = protocols
				wraps[name] = func(nc net.Conn) net.Conn { return tls.Client(nc, config) }
			}
		}
		asked := uint64(0)
		for name, wrap := range wraps {
			client := httpClient(l, wrap)
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
				var body io.Reader
				if method == "POST" || method == "PUT" {
					body = bytes.NewReader(make([]byte, 50_000))
				}
				req, err := http.NewRequest(method, "http://"+h.addr+"/metrics", body)
				if err != nil {
					l.Fatal(err)
				}
				reply, err := client.Do(req)
				if err != nil {
					l.Errorf("%s %s: %v", name, method, err)
					continue
				}
				text, err := io.ReadAll(reply.Body)
				_ = reply.Body.Close()
				asked++
				same(l, "status", reply.StatusCode, http.StatusBadRequest)
				same(l, "close", reply.Close, true)
				same(l, "type", reply.Header.Get("Content-Type"), "text/plain; charset=utf-8")
				if method == "HEAD" {
					continue
				}
				if err != nil || strings.Count(string(text), "\n") != 1 || !strings.Contains(string(text), "meshnode mesh") ||
					strings.Contains(string(text), "TLS") != l.secure() {
					l.Errorf("%s %s: %q, %v", name, method, text, err)
				}
			}
		}
		counts(l, h.Endpoint, HTTPRefused, asked)
		counts(l, h.Endpoint, StreamsRefused, asked)
		for _, line := range []string{"another protocol: HTTP", "GET /me"} {
			if !strings.Contains(log.String(), line) {
				l.Errorf("the log does not say %q: %s", line, log.String())
			}
		}
	})
}

// What else comes to the wrong port is named in the log.
func TestForeignStreamsAreNamed(t *testing.T) {
	l := &lab{t, newMemNet(1000)}
	var log logText
	h := l.host(Config{Name: "b", Logger: zerolog.New(&log)})
	n := uint64(0)
	for begin, says := range map[string]string{
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":             "HTTP/2, beginning",
		"SSH-2.0-OpenSSH_9.6\r\n":                      "SSH, beginning",
		"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nmesh":     "PROXY protocol; turn it off",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c":       "PROXY protocol; turn it off",
		"*1\r\n$4\r\nPING\r\n":                         "Redis, beginning",
		"\x00\x00\x00\x08\x04\xd2\x16\x2f":             "PostgreSQL, beginning",
		"EHLO example.org\r\n":                         "SMTP, beginning",
		"hello there":                                  `the stream begins with \"h`,
		"GETAWAY":                                      `the stream begins with \"GETAWAY`,
		"\x00" + strings.Repeat("z", 100):              `the stream begins with \"\\x00z`,
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03": "TLS where only plain streams are taken",
		"\x94\x00\x01":                                 "not taken here",
		"menu, please":                                 "bad preface",
	} {
		nc, err := l.net.Dial(t.Context(), h.addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(nc, begin)
		closeWrite(nc)
		told, _ := io.ReadAll(nc)
		if strings.HasPrefix(begin, "PRI") != strings.HasPrefix(string(told), "HTTP/1.1 400 ") {
			t.Errorf("%q was told %q", begin, told)
		}
		_ = nc.Close()
		n++
		eventually(t, "refusal", func() bool { return h.stats.Get(StreamsRefused)+h.stats.Get(ConnsRefused) == n })
		eventually(t, "line", func() bool { return strings.Count(log.String(), "\n") >= int(n) })
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if !strings.Contains(lines[n-1], says) {
			t.Errorf("%q is logged as %s, want %s", begin, lines[n-1], says)
		}
	}
}
