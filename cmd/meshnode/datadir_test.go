package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ready waits until a node of the program is ready.
func (b *background) ready(t *testing.T) {
	t.Helper()
	waitFor(t, func() bool { return logged(b.errOut.String(), "ready", "time") != "" })
}

// end stops a node of the program as a signal does.
func (b *background) end(t *testing.T) {
	t.Helper()
	b.stop()
	if status := b.status(t); status != exitOK {
		t.Errorf("ended with %d: %s", status, b.errOut.String())
	}
}

func TestDataDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	common := []string{"run", "--bind", "127.0.0.1:0", "--profile", "local", "--log-format", "json", "--data-dir", dir}
	with := func(args ...string) []string { return append(common[:len(common):len(common)], args...) }
	first := start(t, with("--name", "a", "--cluster", "c")...)
	first.ready(t)

	t.Run("in use", func(t *testing.T) {
		r := program(t, "", with("--name", "a")...)
		if why := logged(r.errOut, "the node ended", "error"); r.status != exitFailure || !strings.Contains(why, dir+" is in use by process ") {
			t.Errorf("ended with %d: %s", r.status, r.errOut)
		}
	})
	first.end(t)

	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--name", "b"}, `belongs to a node with the name "a", not "b"; start it with --name a,`},
		{[]string{"--cluster", "d"}, `belongs to a node with the cluster "c", not "d"; start it with --cluster c,`},
	} {
		t.Run("another "+c.args[0], func(t *testing.T) {
			r := program(t, "", with(append(c.args, "--log-format", "console")...)...)
			if r.status != exitFailure || !strings.Contains(r.errOut, "meshnode run: data directory "+dir) || !strings.Contains(r.errOut, c.want) {
				t.Errorf("ended with %d: %s", r.status, r.errOut)
			}
		})
	}

	again := start(t, common...) // who it is stands in the directory
	if again.ready(t); logged(again.errOut.String(), "data directory", "name") != "a" || logged(again.errOut.String(), "data directory", "cluster") != "c" {
		t.Errorf("it is another: %s", again.errOut.String())
	}
	again.end(t)

	t.Run("damaged peers", func(t *testing.T) {
		peers := filepath.Join(dir, "peers.json")
		if err := os.WriteFile(peers, []byte(`{"format":1,"peers":[`), 0o600); err != nil {
			t.Fatal(err)
		}
		r := program(t, "", with("--log-format", "console")...)
		if r.status != exitFailure || !strings.Contains(r.errOut, peers+": damaged file") || !strings.Contains(r.errOut, "--join") {
			t.Errorf("ended with %d: %s", r.status, r.errOut)
		}
		joining := start(t, with("--join", "127.0.0.1:1")...)
		waitFor(t, func() bool { return strings.Contains(joining.errOut.String(), "no seed could be joined") })
		if !strings.Contains(joining.errOut.String(), "the peers that this node knew cannot be read") {
			t.Errorf("nothing is said of the peers: %s", joining.errOut.String())
		}
		joining.end(t)
	})
}

// A name that cannot be one is refused before it is written down.
func TestDataDirWithABadName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	r := program(t, "", "run", "--bind", "127.0.0.1:0", "--data-dir", dir, "--name", "a b")
	if r.status != exitUsage || !strings.Contains(r.errOut, `node name "a b"`) {
		t.Errorf("ended with %d: %s", r.status, r.errOut)
	}
	if _, err := os.Stat(filepath.Join(dir, "identity.json")); !os.IsNotExist(err) {
		t.Errorf("it stands in the directory: %v", err)
	}
}
