package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshnode/meshnode/outbox"
)

// Durable calls by the commands: taken, made, looked at in the node and in its
// directory, given up, tried again and dropped.
func TestOutbox(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	common := []string{"run", "--bind", "127.0.0.1:0", "--profile", "local", "--data-dir", dir, "--name", "a"}
	a := start(t, common...)
	addr := a.running(t)
	waitFor(t, func() bool { return logged(a.errOut.String(), "ready", "time") != "" })
	at := func(args ...string) []string { return append(args, "--addr", addr) }

	reply := decoded[struct {
		ID    string
		Reply struct{ Node, Data string }
	}](t, succeeds(t, at("call", "mesh.Echo", `{"data":"hi"}`, "--key", "k", "--durable", "--id", "one", "-o", "json")...))
	if reply.ID != "one" || reply.Reply.Node != "a" {
		t.Errorf("%+v", reply)
	}
	if r := program(t, "", at("call", "mesh.Echo", `{"data":"other"}`, "--key", "k", "--durable", "--id", "one")...); r.status != exitFailure || !strings.Contains(r.errOut, "another") {
		t.Errorf("another call under the same id: %+v", r)
	}
	if r := program(t, "", at("call", "mesh.Echo", "--peer", "a", "--durable")...); r.status != exitUsage {
		t.Errorf("a durable call without key: %+v", r)
	}
	late := strings.TrimSpace(succeeds(t, at("call", "no.Such", "--key", "k", "--durable", "--no-wait", "--expire", "50ms")...))
	waitFor(t, func() bool {
		l := decoded[letterJSON](t, succeeds(t, at("outbox", "show", late)...))
		return l.State == "dead" && strings.Contains(l.Reason, "expired")
	})
	poison := strings.TrimSpace(succeeds(t, at("call", "no.Such", "--key", "k", "--durable", "--no-wait")...))
	behind := strings.TrimSpace(succeeds(t, at("call", "mesh.Echo", "--key", "k", "--durable", "--no-wait")...))
	waitFor(t, func() bool {
		return strings.Contains(succeeds(t, at("outbox", "list", "--state", "pending")...), "waits for "+poison+" (no.Such")
	})
	if text := succeeds(t, at("outbox", "status")...); !strings.Contains(text, "1 of them wait for another call") || !strings.Contains(text, "failed when last tried") {
		t.Errorf("%s", text)
	}
	if text := succeeds(t, at("outbox", "cancel", poison)...); !strings.Contains(text, "it was not executed") || !strings.Contains(text, "no.Such") {
		t.Errorf("%s", text)
	}
	waitFor(t, func() bool {
		return decoded[letterJSON](t, succeeds(t, at("outbox", "show", behind)...)).State == "done"
	})
	succeeds(t, at("outbox", "drop", poison)...)
	poison = strings.TrimSpace(succeeds(t, at("call", "no.Such", "--key", "k", "--durable", "--no-wait")...))
	if text := succeeds(t, at("outbox", "drop", poison)...); !strings.Contains(text, poison+" is cancelled") {
		t.Errorf("drop of a pending call: %s", text)
	}
	if r := program(t, "", at("outbox", "show", poison)...); r.status != exitFailure {
		t.Errorf("dropped: %+v", r)
	}
	if list := succeeds(t, at("outbox", "list", "--state", "dead")...); !strings.Contains(list, late) || strings.Contains(list, "one ") {
		t.Errorf("%s", list)
	}
	waitFor(t, func() bool { // it claims what it owns a moment after it is ready
		s := decoded[outbox.Status](t, succeeds(t, at("outbox", "status", "-o", "json")...))
		return s.Dead == 1 && s.Done == 2 && s.Holds == 16384
	})
	if r := program(t, "", "outbox", "drop", late, "--dir", dir); r.status != exitFailure || !strings.Contains(r.errOut, "--addr") {
		t.Errorf("drop in a directory in use: %+v", r)
	}
	a.stop()
	if status := a.status(t); status != exitOK {
		t.Errorf("ended with %d: %s", status, a.errOut.String())
	}
	if text := succeeds(t, "outbox", "status", "--dir", dir); !strings.Contains(text, "dead letters") || strings.Contains(text, "partitions held") {
		t.Errorf("%s", text)
	}
	if r := program(t, "", "outbox", "drop", late, "--dir", filepath.Dir(dir)); r.status != exitFailure || !strings.Contains(r.errOut, "no outbox there") {
		t.Errorf("drop in a directory without an outbox: %+v", r)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(dir), outboxDir)); err == nil {
		t.Error("looking for an outbox has made one")
	}
	succeeds(t, "outbox", "drop", late, "--dir", filepath.Join(dir, outboxDir)) // the outbox itself will do
	if list := decoded[[]outbox.Letter](t, succeeds(t, "outbox", "list", "--dir", dir, "-o", "json")); len(list) != 2 || list[0].ID != "one" {
		t.Errorf("%+v", list)
	}
	if r := program(t, "", "outbox", "show", late, "--dir", dir); r.status != exitFailure {
		t.Errorf("%+v", r)
	}
}

// A node without a data directory says how it gets an outbox.
func TestNoOutbox(t *testing.T) {
	n := cluster(t, 1)[0]
	for _, args := range [][]string{
		{"outbox", "status"},
		{"outbox", "list"},
		{"outbox", "show", "x"},
		{"outbox", "retry", "x"},
		{"outbox", "drop", "x"},
		{"outbox", "cancel", "x"},
		{"call", "mesh.Echo", "--key", "k", "--durable"},
	} {
		if r := program(t, "", append(args, "--addr", n.Addr().String())...); r.status != exitFailure || !strings.Contains(r.errOut, "--data-dir") {
			t.Errorf("%q: %+v", args, r)
		}
	}
	if r := program(t, "", "outbox", "retry"); r.status != exitUsage {
		t.Errorf("%+v", r)
	}
}
