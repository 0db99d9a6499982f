package main

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
)

// Every command explains itself: what it does, by examples, and each flag with
// its variable.
func TestHelp(t *testing.T) {
	root := newRoot(&app{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}})
	var names []string
	all := root.Commands()
	for _, cmd := range root.Commands() {
		all = append(all, cmd.Commands()...)
	}
	for _, cmd := range all {
		if cmd.Name() == "help" || cmd.Hidden {
			continue
		}
		path := strings.Fields(cmd.CommandPath())[1:]
		names = append(names, strings.Join(path, " "))
		text := succeeds(t, append(path, "--help")...)
		if text != succeeds(t, append([]string{"help"}, path...)...) {
			t.Errorf("help %s and %s --help differ", path, path)
		}
		for _, want := range []string{"Usage:\n  " + cmd.CommandPath(), "Examples:\n  "} {
			if !strings.Contains(text, want) {
				t.Errorf("%s --help lacks %q", cmd.Name(), want)
			}
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Hidden {
				return
			}
			if !strings.Contains(text, "--"+f.Name) || !strings.Contains(text, "["+envName(f.Name)+"]") {
				t.Errorf("%s --help lacks --%s or its variable", cmd.Name(), f.Name)
			}
		})
		for line := range strings.Lines(text) {
			if len(line) > 112 {
				t.Errorf("%s --help has a line of %d columns: %s", cmd.Name(), len(line), line)
			}
		}
	}
	slices.Sort(names)
	want := []string{
		"call", "cert", "cert ca", "cert issue", "completion", "dev",
		"explain", "health", "keygen", "leave", "members",
		"outbox", "outbox cancel", "outbox drop", "outbox list", "outbox retry", "outbox show", "outbox status", "owner", "ring", "route", "run",
		"sim", "sim compare", "sim fuzz", "sim init", "sim list", "stats", "version",
	}
	if !slices.Equal(names, want) {
		t.Errorf("commands are %v; want %v", names, want)
	}
	overview := succeeds(t)
	for _, name := range want {
		if strings.Contains(name, " ") {
			continue
		}
		if !strings.Contains(overview, "\n  "+name+" ") {
			t.Errorf("the overview lacks %s", name)
		}
	}
}

func TestWrap(t *testing.T) {
	got := wrap("one two  three, four", 9)
	if want := []string{"one two", "three,", "four"}; !slices.Equal(got, want) {
		t.Errorf("wrap gave %q; want %q", got, want)
	}
}

func TestVersion(t *testing.T) {
	v := decoded[versionJSON](t, succeeds(t, "version", "-o", "json"))
	if v.Version == "" || !strings.HasPrefix(v.Go, "go1.") || v.Protocol != node.Protocol {
		t.Errorf("version is %+v", v)
	}
	if text := succeeds(t, "version"); !strings.HasPrefix(text, "meshnode "+v.Version) || strings.Count(text, "\n") != 1 {
		t.Errorf("version as text is %q", text)
	}
}

func TestKeygen(t *testing.T) {
	seen := make(map[string]bool)
	for _, size := range []string{"16", "24", "32"} {
		text := strings.TrimSpace(succeeds(t, "keygen", "--bytes", size))
		key, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(key) != map[string]int{"16": 16, "24": 24, "32": 32}[size] || seen[text] {
			t.Errorf("keygen --bytes %s gave %q, %v", size, text, err)
		}
		seen[text] = true
	}
	if r := decoded[struct{ Key string }](t, succeeds(t, "keygen", "-o", "json")); len(r.Key) != 44 || seen[r.Key] {
		t.Errorf("keygen -o json gave %+v", r)
	}
}

// A key in a file is for its owner's eyes alone, and never replaces another unasked.
func TestKeygenFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gossip.key")
	read := func() string {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := membership.ParseKey(string(text)); err != nil {
			t.Errorf("the file holds %q: %v", text, err)
		}
		info, err := os.Stat(file)
		if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("the file's mode is %v, %v; want 0600", info.Mode(), err)
		}
		return string(text)
	}
	out := succeeds(t, "keygen", "--out", file)
	first := read()
	if strings.Contains(out, strings.TrimSpace(first)) || !strings.Contains(out, "--gossip-key @"+file) {
		t.Errorf("it says %q", out)
	}
	r := program(t, "", "keygen", "--out", file)
	if r.status != exitFailure || !strings.Contains(r.errOut, "--force") || read() != first {
		t.Errorf("over a file it ended with %d: %q", r.status, r.errOut)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	got := decoded[keyJSON](t, succeeds(t, "keygen", "--out", file, "--force", "--bytes", "16", "-o", "json"))
	if got != (keyJSON{File: file, Bytes: 16}) || read() == first {
		t.Errorf("with --force it says %+v", got)
	}
	if r := program(t, "", "keygen", "--out", filepath.Join(file, "x")); r.status != exitFailure {
		t.Errorf("below a file it ended with %d", r.status)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if text := succeeds(t, "completion", shell); !strings.Contains(text, "meshnode") {
			t.Errorf("completion %s gave %d bytes without the program's name", shell, len(text))
		}
	}
	for args, want := range map[string]string{
		"call ":               "mesh.Echo",
		"run --profile ":      "local",
		"members --output ":   "json",
		"run --log-level ":    "debug",
		"completion ":         "fish",
		"dev --o":             "--output",
		"owner --owners 1 a ": ":4",
	} {
		if text := succeeds(t, append([]string{"__complete"}, strings.Split(args, " ")...)...); !strings.Contains(text, want) {
			t.Errorf("completing %q gave %q; want %q", args, text, want)
		}
	}
}
