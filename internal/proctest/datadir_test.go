//go:build process

package proctest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// kept is a cluster of daemons that have data directories and, once they have
// started for the first time, no seeds.
type kept struct {
	*cluster
	dirs  []string
	addrs []string
}

// startKept starts n daemons and waits until each has written down all the others.
func startKept(t *testing.T, n int) *kept {
	t.Helper()
	k := &kept{cluster: &cluster{t: t}, addrs: freeAddrs(t, n)}
	for i, addr := range k.addrs {
		k.dirs = append(k.dirs, filepath.Join(t.TempDir(), "data"))
		k.add(fmt.Sprintf("node-%d", i+1), addr, "--data-dir", k.dirs[i])
	}
	k.agree(n, 30*time.Second)
	k.written()
	return k
}

// written waits until every directory has the addresses of all others.
func (k *kept) written() {
	k.t.Helper()
	var last string
	eventually(k.t, 10*time.Second, func() bool {
		last = ""
		for i, dir := range k.dirs {
			text, err := os.ReadFile(filepath.Join(dir, "peers.json"))
			for j, addr := range k.addrs {
				if i != j && !strings.Contains(string(text), addr) {
					last = fmt.Sprintf("%s lacks %s: %s, %v", dir, addr, text, err)
				}
			}
		}
		return last == ""
	}, func() string { return last })
}

// again starts a member that has ended once more, without --join.
func (k *kept) again(i int) *process {
	k.t.Helper()
	p := start(k.t, fmt.Sprintf("node-%d", i+1), k.addrs[i], "--data-dir", k.dirs[i])
	k.members[i] = p
	return p
}

// TestDataDirRejoins kills one of three daemons, and starts it without --join: it is
// back, and owns the keys that it owned.
func TestDataDirRejoins(t *testing.T) {
	k := startKept(t, 3)
	keys := keysOf(1000)
	before := owners(t, k.client(k.members[1]), keys)
	k.members[0].kill()
	k.again(0)
	took := k.agree(3, 10*time.Second)
	after, served := owners(t, k.client(k.members[1]), keys), 0
	cl := k.client(k.members[2])
	for _, key := range keys {
		if after[key] != before[key] {
			t.Fatalf("%s belongs to %s, and did to %s", key, after[key], before[key])
		}
		if before[key] != "node-1" {
			continue
		}
		if by, err := echo(t.Context(), cl, key); err != nil || by != "node-1" {
			t.Fatalf("%s was answered by %q, %v", key, by, err)
		}
		served++
	}
	if served == 0 {
		t.Error("it owns nothing")
	}
	t.Logf("kill -9 and restart without --join: agreed after %v, %d keys served by it", took.Round(time.Millisecond), served)
}

// TestDataDirWholeCluster kills all three daemons, and starts them without --join:
// one cluster. The first alone founds none, and says whom it looks for.
func TestDataDirWholeCluster(t *testing.T) {
	k := startKept(t, 3)
	for _, p := range k.members {
		p.kill()
	}
	first := k.again(0)
	eventually(t, 10*time.Second, func() bool {
		return strings.Contains(first.log.String(), "no peer that this node knew could be joined")
	},
		func() string { return "the first does not say that it looks for the others:\n" + first.log.String() })
	if r, err := first.ping(); err != nil || r.Ready || !strings.Contains(r.Why, "one of the 2 peers in "+k.dirs[0]) {
		t.Errorf("the first alone says %+v, %v", r, err)
	}
	k.again(1)
	k.again(2)
	took := k.agree(3, 10*time.Second)
	t.Logf("kill -9 of all three, restart without --join: one cluster after %v", took.Round(time.Millisecond))

	for _, p := range k.members {
		p.kill()
	}
	for i := range k.members {
		k.again(i)
	}
	took = k.agree(3, 10*time.Second)
	t.Logf("the same, all three at once: one cluster after %v", took.Round(time.Millisecond))
}

// TestDataDirStoppedTogether ends all three daemons gracefully at once: they remember
// each other all the same.
func TestDataDirStoppedTogether(t *testing.T) {
	k := startKept(t, 3)
	for _, p := range k.members {
		if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
	}
	for i, p := range k.members {
		if status := p.exit(t); status != 0 {
			t.Errorf("%s ended with status %d", p.name, status)
		}
		k.again(i)
	}
	k.agree(3, 10*time.Second)
}

// TestDataDirRefuses starts a second process in a directory that is in use, and one
// under another name in a directory that is not.
func TestDataDirRefuses(t *testing.T) {
	k := startKept(t, 2)
	second := start(t, "node-2", freeAddrs(t, 1)[0], "--data-dir", k.dirs[1])
	if status := second.exit(t); status != 1 {
		t.Errorf("the second process ended with status %d, want 1", status)
	}
	inUse := fmt.Sprintf("%s is in use by process %d", k.dirs[1], k.members[1].cmd.Process.Pid)
	if log := second.log.String(); !strings.Contains(log, inUse) {
		t.Errorf("the second process does not say %q:\n%s", inUse, log)
	}
	k.agree(2, time.Second)

	k.members[1].kill()
	other := start(t, "other", k.addrs[1], "--data-dir", k.dirs[1])
	if status := other.exit(t); status != 1 {
		t.Errorf("another name ended with status %d, want 1", status)
	}
	if log := other.log.String(); !strings.Contains(log, "node-2") || !strings.Contains(log, "start it with --name node-2") {
		t.Errorf("another name is refused without saying what to do:\n%s", log)
	}
	k.again(1)
	k.agree(2, 10*time.Second)
}
