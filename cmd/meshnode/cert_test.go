package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/certs"
	"github.com/meshnode/meshnode/membership"
)

// namesOf gives the nodes that the certificate in a file names.
func namesOf(t *testing.T, one issued) []string {
	t.Helper()
	pair, err := certs.ReadFiles(one.Cert, one.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := pair.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	if !cert.NotAfter.Equal(one.NotAfter) {
		t.Errorf("%s ends at %v, and is said to end at %v", one.Cert, cert.NotAfter, one.NotAfter)
	}
	return certs.Names(cert)
}

// The commands make what they say, show what comes next, and overwrite nothing.
func TestCert(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	if r := program(t, "", "cert", "issue", "a", "--dir", dir); r.status != exitFailure || !strings.Contains(r.errOut, "'meshnode cert ca' makes one") {
		t.Errorf("without a CA: %d, %s", r.status, r.errOut)
	}
	text := succeeds(t, "cert", "ca", "--dir", dir, "--ca-name", "ours")
	if !strings.Contains(text, "meshnode cert issue node-1") || !strings.Contains(text, dir) {
		t.Errorf("ca says:\n%s", text)
	}
	if info, err := os.Stat(filepath.Join(dir, "ca.key")); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the CA's key: %v, %v", info, err)
	}
	all := decoded[[]issued](t, succeeds(t, "cert", "issue", "a", "x*y", "..", "--dir", dir, "--days", "3", "-o", "json"))
	for i, name := range []string{"a", "x*y", ".."} {
		if names := namesOf(t, all[i]); len(names) != 1 || names[0] != name || all[i].Name != name {
			t.Errorf("%+v names %q, want %q", all[i], names, name)
		}
		if left := time.Until(all[i].NotAfter); left > 72*time.Hour || left < 71*time.Hour {
			t.Errorf("%s is valid for %v", name, left)
		}
		if filepath.Dir(all[i].Key) != dir {
			t.Errorf("the key of %q is in %s", name, all[i].Key)
		}
	}
	before, _ := os.ReadFile(all[0].Key)
	for _, args := range []string{"ca", "issue b a"} {
		r := program(t, "", strings.Fields("cert "+args+" --dir "+dir)...)
		if r.status != exitFailure || !strings.Contains(r.errOut, "--force overwrites it") {
			t.Errorf("%s again: %d, %s", args, r.status, r.errOut)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "b.key")); err == nil {
		t.Error("b was made, though a could not be")
	}
	if now, _ := os.ReadFile(all[0].Key); string(now) != string(before) {
		t.Error("a key was overwritten")
	}
	text = succeeds(t, "cert", "issue", "a", "--dir", dir, "--force")
	if now, _ := os.ReadFile(all[0].Key); string(now) == string(before) || !strings.Contains(text, "meshnode run --name a") {
		t.Errorf("--force: %s", text)
	}
	text = succeeds(t, "cert", "issue", "--client", "me", "--dir", dir)
	if !strings.Contains(text, "meshnode members --tls-ca") {
		t.Errorf("issue --client says:\n%s", text)
	}
	for args, want := range map[string]string{
		"cert issue --dir " + dir:           "no name given",
		"cert issue a/b --dir " + dir:       `node name "a/b"`,
		"cert issue CA --dir " + dir:        "files of the CA",
		"cert bogus":                        `unknown command "bogus"`,
		"cert ca x":                         `unexpected argument "x"`,
		"cert ca --days 0":                  "want a whole number from 1",
		"members --tls-cert x":              "--tls-key and --tls-ca are missing",
		"run --tls-cert x --tls-ca y":       "--tls-key is missing",
		"run --name a " + files(dir, "a"):   "TLS without a gossip key",
		"run --name b " + files(dir, "a"):   `not "b"`,
		"run --name me " + files(dir, "me"): `the client "me", which no node can use`,
	} {
		if strings.Contains(want, "not ") || strings.Contains(want, "client ") {
			args += " --insecure-gossip"
		}
		if r := program(t, "", strings.Fields(args)...); r.status != exitUsage || !strings.Contains(r.errOut, want) || strings.Count(r.errOut, "\n") != 1 {
			t.Errorf("%s: %d, %s; want %q", args, r.status, r.errOut, want)
		}
	}
	if r := program(t, "", "members", "--tls-cert", "none", "--tls-key", "none", "--tls-ca", "none"); r.status != exitFailure || !strings.Contains(r.errOut, "none") {
		t.Errorf("no such file: %d, %s", r.status, r.errOut)
	}
}

// files gives the flags of the certificate of name.
func files(dir, name string) string {
	base := filepath.Join(dir, name)
	return "--tls-ca " + filepath.Join(dir, "ca.crt") + " --tls-cert " + base + ".crt --tls-key " + base + ".key"
}

// The commands talk to a node with TLS, and say what to do when they cannot.
func TestCommandsWithTLS(t *testing.T) {
	dir := t.TempDir()
	succeeds(t, "cert", "ca", "--dir", dir)
	succeeds(t, "cert", "issue", "a", "--dir", dir)
	succeeds(t, "cert", "issue", "--client", "cli", "--dir", dir)
	key := filepath.Join(dir, "gossip.key")
	if err := os.WriteFile(key, []byte(membership.FormatKey(membership.GenerateKey())), 0o600); err != nil {
		t.Fatal(err)
	}
	plain := cluster(t, 1)[0].Addr().String()
	args := "run --name a --profile local --bind 127.0.0.1:0 --log-format json --gossip-key @" + key + " " + files(dir, "a")
	b := start(t, strings.Fields(args)...)
	waitFor(t, func() bool { return strings.Contains(b.errOut.String(), `"ready"`) })
	_, rest, _ := strings.Cut(b.errOut.String(), `"addr":"`)
	addr, _, _ := strings.Cut(rest, `"`)
	mine := strings.Fields("--addr " + addr + " " + files(dir, "cli"))
	if text := succeeds(t, append([]string{"members"}, mine...)...); !strings.Contains(text, addr) {
		t.Errorf("members: %s", text)
	}
	succeeds(t, append([]string{"owner", "k"}, mine...)...)
	for args, want := range map[string]string{
		"members --addr " + addr:                            "give --tls-cert, --tls-key and --tls-ca",
		"members --addr " + plain + " " + files(dir, "cli"): "speaks no TLS",
		"members --addr 127.0.0.1:1 " + files(dir, "cli"):   "is one running there?",
	} {
		if r := program(t, "", strings.Fields(args)...); r.status != exitFailure || !strings.Contains(r.errOut, want) {
			t.Errorf("%s: %d, %s; want %q", args, r.status, r.errOut, want)
		}
	}
	t.Setenv(envName("tls-ca"), filepath.Join(dir, "ca.crt"))
	t.Setenv(envName("tls-cert"), filepath.Join(dir, "cli.crt"))
	t.Setenv(envName("tls-key"), filepath.Join(dir, "cli.key"))
	if text := succeeds(t, "leave", "--addr", addr); text != "a leaves\n" {
		t.Errorf("leave: %s", text)
	}
	if status := b.status(t); status != exitOK {
		t.Errorf("the node ended with %d: %s", status, b.errOut.String())
	}
}

// dev with TLS does what it does without, and leaves no keys behind.
func TestDevTLS(t *testing.T) {
	t.Setenv(actAsProgram, "1")
	t.Setenv("TMPDIR", t.TempDir())
	r := program(t, "", "dev", "--once", "--tls", "--nodes", "2", "--base-port", "0", "--log-dir", t.TempDir())
	if r.status != exitOK || !strings.Contains(r.errOut, "--tls-cert") || !strings.Contains(r.out, "1,000 of 1,000") {
		t.Errorf("ended with %d: %s%s", r.status, r.out, r.errOut)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
