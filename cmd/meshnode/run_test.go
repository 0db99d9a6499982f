package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
)

// logged gives the field of the first line of a JSON log with that message, or
// nothing.
func logged(log, message, field string) string {
	for line := range strings.Lines(log) {
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) == nil && entry["message"] == message {
			text, _ := entry[field].(string)
			return text
		}
	}
	return ""
}

// running waits until a node of the program listens, and gives its address.
func (b *background) running(t *testing.T) string {
	t.Helper()
	waitFor(t, func() bool { return logged(b.errOut.String(), "listening", "addr") != "" })
	return logged(b.errOut.String(), "listening", "addr")
}

func TestRun(t *testing.T) {
	key := filepath.Join(t.TempDir(), "gossip.key")
	if err := os.WriteFile(key, []byte(succeeds(t, "keygen")), 0o600); err != nil {
		t.Fatal(err)
	}
	common := []string{"run", "--bind", "localhost:0", "--profile", "local", "--expect", "2", "--cluster", "c", "--gossip-key", "@" + key}
	a := start(t, append(common, "--name", "a")...)
	addr := a.running(t)
	b := start(t, append(common, "--name", "b", "--join", addr, "--zone", "east", "--weight", "3", "--advertise", "localhost:0")...)
	if status := b.status(t); status != exitUsage {
		t.Fatalf("--advertise with port 0 ended with %d", status)
	}
	b = start(t, append(common, "--name", "b", "--join", addr, "--zone", "east", "--weight", "3")...)
	for _, one := range []*background{a, b} {
		waitFor(t, func() bool { return logged(one.errOut.String(), "ready", "time") != "" })
	}
	waitFor(t, func() bool {
		members := decoded[[]memberJSON](t, succeeds(t, "members", "--addr", addr, "-o", "json"))
		return len(members) == 2 && members[1].Zone == "east" && members[1].Weight == 3 && members[1].Share > 0.7
	})

	t.Run("a name that is taken", func(t *testing.T) {
		c := start(t, append(common, "--name", "b", "--join", addr)...)
		if status := c.status(t); status != exitFailure || !strings.Contains(c.errOut.String(), "name is taken") {
			t.Errorf("ended with %d: %s", status, c.errOut.String())
		}
	})
	t.Run("a port that is taken", func(t *testing.T) {
		r := program(t, "", "run", "--bind", addr, "--log-format", "console")
		last := r.errOut[strings.LastIndex(strings.TrimSpace(r.errOut), "\n")+1:]
		if r.status != exitFailure || !strings.HasPrefix(last, "meshnode run: cannot listen on TCP "+addr) {
			t.Errorf("ended with %d: %s", r.status, r.errOut)
		}
		r = program(t, "", "run", "--bind", addr, "--log-format", "json")
		if r.status != exitFailure || !strings.Contains(logged(r.errOut, "the node ended", "error"), addr) {
			t.Errorf("ended with %d: %s", r.status, r.errOut)
		}
	})
	t.Run("a name that cannot be one", func(t *testing.T) {
		r := program(t, "", "run", "--bind", "127.0.0.1:0", "--name", "a/b")
		if r.status != exitUsage || !strings.Contains(r.errOut, "meshnode run: bad configuration: ") {
			t.Errorf("ended with %d: %s", r.status, r.errOut)
		}
	})
	t.Run("leave", func(t *testing.T) {
		succeeds(t, "leave", "--addr", logged(b.errOut.String(), "listening", "addr"))
		if status := b.status(t); status != exitOK {
			t.Errorf("ended with %d: %s", status, b.errOut.String())
		}
	})
	a.stop() // as a signal does
	if status := a.status(t); status != exitOK || logged(a.errOut.String(), "leaving", "time") == "" {
		t.Errorf("ended with %d: %s", status, a.errOut.String())
	}
}

func TestNodeConfig(t *testing.T) {
	a := &app{stderr: &syncBuffer{}}
	key := membership.GenerateKey()
	f := &runFlags{
		node: node.Config{Name: "n"}, advertise: "127.0.0.1:7101", gossipKey: " " + membership.FormatKey(key) + " ",
		log: logFlags{level: zerolog.WarnLevel},
	}
	cfg, err := a.nodeConfig(t.Context(), f)
	if err != nil || cfg.Name != "n" || cfg.Advertise != f.advertise || string(cfg.GossipKey) != string(key) || cfg.Logger.GetLevel() != zerolog.WarnLevel {
		t.Errorf("got %+v, %v", cfg, err)
	}
}

func TestLogFormats(t *testing.T) {
	for _, c := range []struct{ format, want string }{
		{"", `"message":"hello"`}, // no terminal
		{logJSON, `"message":"hello"`},
		{logConsole, " INF hello k=v\n"},
	} {
		var out syncBuffer
		f := logFlags{level: zerolog.InfoLevel, format: c.format}
		log := f.logger(&out)
		log.Debug().Msg("not this")
		log.Info().Str("k", "v").Msg("hello")
		if got := out.String(); !strings.Contains(got, c.want) || strings.Count(got, "\n") != 1 {
			t.Errorf("format %q: %q; want %q", c.format, got, c.want)
		}
	}
}
