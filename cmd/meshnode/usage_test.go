package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Command lines that cannot be meant: one line that says what is wrong, and
// where to read on; status 2; nothing on stdout.
func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	badKey := filepath.Join(dir, "bad.key")
	if err := os.WriteFile(badKey, []byte("c2VjcmV0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		want string // in the line
		help string // the command whose help is named
	}{
		{"rum", `unknown command "rum" (did you mean "run"?)`, ""},
		{"-o json nothing", `unknown command "nothing"`, ""},
		{"--no-such-flag", "unknown flag: --no-such-flag", ""},
		{"help nothing", `no command is called "nothing"`, "help"},
		{"members --adr x", "unknown flag: --adr", "members"},
		{"members -x", "unknown shorthand flag: 'x'", "members"},
		{"members one", `unexpected argument "one"`, "members"},
		{"members --addr", "--addr needs a value: --addr <host:port>", "members"},
		{"members --addr nonsense", `--addr "nonsense": want host:port, such as 127.0.0.1:7101`, "members"},
		{"members --addr :7101", "want host:port", "members"},
		{"members --addr a:0", `port "0"; want a number from 1 to 65535`, "members"},
		{"members -o yaml", `--output "yaml": want text or json`, "members"},
		{"owner", "no key given", "owner"},
		{"owner a --owners none", "want a whole number from 1 to 1000", "owner"},
		{"call", "no method given", "call"},
		{"call mesh.Ping", "no destination; add one of --key KEY, --peer NAME, --all and --any", "call"},
		{"call mesh.Ping --key a --peer b", "--key and --peer are different destinations", "call"},
		{"call mesh.Ping --all --any", "--all and --any are different destinations", "call"},
		{"call mesh.Ping --peer=", "--peer needs the name of a node", "call"},
		{"call mesh.Ping --any=nearest", "want round-robin", "call"},
		{"call mesh.Ping --any nearest", "invalid character 'e'", "call"},
		{"call mesh.Ping --any --owner-only", "--owner-only is about the owner of a key", "call"},
		{"call mesh.Ping --any --spill 1.25 --idempotent", "--spill is about the owners of a key", "call"},
		{"call mesh.Ping --key k --spill 0.5", "want a factor from 1 to 100", "call"},
		{"call mesh.Ping --key k --hedge p95", "add --idempotent", "call"},
		{"call mesh.Ping --key k --hedge 5", "want a positive duration such as 20ms, or p95", "call"},
		{"call mesh.Ping --key k --priority high", "want critical, default or sheddable", "call"},
		{"call mesh.Ping --key k --retries -1", "want a whole number from 0 to 100", "call"},
		{"call mesh.Ping {a:1} --any", "invalid character 'a'", "call"},
		{"call mesh.Ping - --any", "unexpected end of JSON input", "call"},
		{"call mesh.Ping 18446744073709551616 --any", "does not fit 64 bits", "call"},
		{"call mesh.Ping {} {} --any", `unexpected argument "{}"`, "call"},
		{"call bad\tname --any", "bad method name", "call"},
		{"call mesh.Ping --any --timeout 5", "want a positive duration", "call"},
		{"call mesh.Ping --any --timeout -1s", "want a positive duration", "call"},
		{"call mesh.Ping --any --meta novalue", `--meta "novalue": want key=value`, "call"},
		{"route", "no keys; name a file with --keys FILE", "route"},
		{"route --keys - --parallel 0", "want a whole number from 1 to 10000", "route"},
		{"route --keys - --method=", "bad method name", "route"},
		{"run --bind localhost", "want ip:port", "run"},
		{"run --bind 127.0.0.256:7101", "want ip:port", "run"},
		{"run --bind localhost:70000", "want ip:port", "run"},
		{"run --bind a,b:7101", "want ip:port", "run"},
		{"run --join a:1,b", `--join "a:1,b": bad seed "b": missing port`, "run"},
		{"run --join a:1,,b:2", `bad seed "": it is empty`, "run"},
		{"run --bind 127.0.0.1", "want ip:port", "run"},
		{"run --advertise nowhere", "want host:port", "run"},
		{"run --join 127.0.0.1", `--join: bad seed "127.0.0.1": missing port`, "run"},
		{"run --weight heavy", `--weight "heavy": want a number from 0.1 to 100`, "run"},
		{"run --weight NaN", "want a number from 0.1 to 100", "run"},
		{"run --weight 0", "want a number from 0.1 to 100", "run"},
		{"run --expect 0", "want a whole number from 1", "run"},
		{"run --profile moon", "want lan, wan or local", "run"},
		{"run --log-level loud", "want trace, debug, info, warn or error", "run"},
		{"run --log-format xml", "want console or json", "run"},
		{"run --gossip-key c2VjcmV0", "it has 6 bytes, want 16, 24 or 32", "run"},
		{"run --gossip-key @" + badKey, "it has 6 bytes, want 16, 24 or 32", "run"},
		{"run --bind 127.0.0.1:0 --cluster a\tb", "cluster name", "run"},
		{"dev --nodes 0", "want a whole number from 1 to 100", "dev"},
		{"dev --base-port 65533", "5 nodes need ports up to 65537", "dev"},
		{"keygen --bytes 20", "want 16, 24 or 32", "keygen"},
		{"completion tcsh", "want one shell: bash, zsh, fish, powershell", "completion"},
	} {
		t.Run(c.args, func(t *testing.T) {
			r := program(t, "", strings.Split(c.args, " ")...)
			if r.status != exitUsage || r.out != "" {
				t.Errorf("ended with %d and %q on stdout; want %d and nothing", r.status, r.out, exitUsage)
			}
			if strings.Count(r.errOut, "\n") != 1 || !strings.HasSuffix(r.errOut, "\n") {
				t.Errorf("stderr is not one line: %q", r.errOut)
			}
			if !strings.Contains(r.errOut, c.want) {
				t.Errorf("stderr is %q; want %q in it", r.errOut, c.want)
			}
			path := strings.TrimSpace("meshnode " + c.help)
			if !strings.HasPrefix(r.errOut, path+": ") || !strings.HasSuffix(r.errOut, "; see '"+path+" --help'\n") {
				t.Errorf("stderr is %q; want %q before and its help after", r.errOut, path)
			}
		})
	}
}

func TestGossipKeyIsNotShown(t *testing.T) {
	const secret = "bm90IHNpeHRlZW4gYnl0ZXM"
	t.Setenv(envName("gossip-key"), secret)
	for _, args := range [][]string{{"run"}, {"run", "--gossip-key", secret + "!"}} {
		r := program(t, "", args...)
		if r.status != exitUsage || strings.Contains(r.errOut, secret) {
			t.Errorf("%v ended with %d: %s", args, r.status, r.errOut)
		}
	}
}

// Failures are not usage: status 1, and JSON for programs.
func TestFailures(t *testing.T) {
	for _, c := range []struct {
		args       string
		want, code string
	}{
		{"members --addr 127.0.0.1:1", "cannot reach a node at 127.0.0.1:1", "Unavailable"},
		{"call mesh.Echo @no-such-file --any", "no-such-file", "NotFound"},
		{"route --keys no-such-file", "no-such-file", "NotFound"},
	} {
		t.Run(c.args, func(t *testing.T) {
			args := strings.Split(c.args, " ")
			r := program(t, "", args...)
			if r.status != exitFailure || strings.Count(r.errOut, "\n") != 1 || !strings.Contains(r.errOut, c.want) {
				t.Errorf("ended with %d: %q; want %d and %q", r.status, r.errOut, exitFailure, c.want)
			}
			r = program(t, "", append(args, "-o", "json")...)
			got := decoded[map[string]errorJSON](t, r.errOut)["error"]
			if r.status != exitFailure || got.Code != c.code || !strings.Contains(got.Message, c.want) {
				t.Errorf("-o json ended with %d: %+v; want %s", r.status, got, c.code)
			}
		})
	}
}

func TestOutputCannotBeWritten(t *testing.T) {
	var errOut bytes.Buffer
	if status := run(t.Context(), []string{"keygen"}, nil, failing{}, &errOut); status != exitFailure {
		t.Errorf("ended with %d: %s", status, errOut.String())
	}
}
