//go:build process

package proctest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/meshnode/meshnode/node"
)

// chaosNodes are the members of a chaos test.
const chaosNodes = 5

// loadReport is what a client has met; see worker/report.go.
type loadReport struct {
	Calls      int               `json:"calls"`
	Once       int               `json:"once"`
	Failed     int               `json:"failed"`
	FailedOnce int               `json:"failed_once"`
	Codes      map[string]int    `json:"codes"`
	Errors     []string          `json:"errors"`
	Wrong      int               `json:"wrong"`
	Unowned    int               `json:"unowned"`
	Failovers  int               `json:"failovers"`
	P50        float64           `json:"p50_ms"`
	P99        float64           `json:"p99_ms"`
	Max        float64           `json:"max_ms"`
	Recovered  []float64         `json:"recovered_ms"`
	Stats      map[string]uint64 `json:"stats"`
}

// chaos is a cluster of workers and two clients that put load on it.
type chaos struct {
	*cluster
	dir     string
	loaders []*loader

	enter func(name string) []string              // what runs a process elsewhere; nil: here
	ask   func(*process) (*node.PingReply, error) // how a member is asked; nil: by process.ping
}

// loader is one client process.
type loader struct {
	*process
	in    io.WriteCloser
	out   *bufio.Reader
	ended bool
}

// startChaos starts the members and the clients. The loads together are 2,200
// calls a second.
func startChaos(t *testing.T, args ...string) *chaos {
	t.Helper()
	c := &chaos{cluster: &cluster{t: t}, dir: t.TempDir()}
	for i, addr := range freeAddrs(t, chaosNodes) {
		c.serve(fmt.Sprintf("node-%d", i+1), addr)
	}
	c.settle(chaosNodes)
	for i := range 2 {
		c.load(fmt.Sprintf("load-%d", i+1), freeAddrs(t, 1)[0], args...)
	}
	c.settle(chaosNodes)
	return c
}

// worker gives the command of one worker, whose log the test shows if it fails.
func (c *chaos) worker(name string, args ...string) *process {
	p := &process{name: name, log: &logBuffer{}, done: make(chan struct{})}
	command := append([]string{worker}, args...)
	if c.enter != nil {
		command = append(c.enter(name), command...)
	}
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Stderr = p.log
	return p
}

// run starts a worker; it is killed at the end of the test if it still lives.
func (c *chaos) run(p *process) {
	t := c.t
	t.Helper()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		p.kill()
		if t.Failed() {
			text := p.log.String()
			t.Logf("the end of the log of %s (pid %d):\n%s", p.name, p.cmd.Process.Pid, text[max(0, len(text)-6000):])
		}
	})
}

// serve starts a member.
func (c *chaos) serve(name, addr string) *process {
	c.t.Helper()
	args := []string{"serve", "-name", name, "-bind", addr, "-executed", filepath.Join(c.dir, "executed-"+name)}
	if seed := c.seed(addr); seed != "" {
		args = append(args, "-join", seed)
	}
	p := c.worker(name, args...)
	p.addr = addr
	c.run(p)
	c.members = append(c.members, p)
	return p
}

// seed is a member at another address; empty: there is none.
func (c *chaos) seed(addr string) string {
	for _, m := range c.members {
		if m.addr != addr {
			return m.addr
		}
	}
	return ""
}

// load starts a client and waits until it sends.
func (c *chaos) load(name, addr string, args ...string) {
	t := c.t
	t.Helper()
	p := c.worker(name, append([]string{"load", "-name", name, "-bind", addr, "-join", c.seed(""), "-rate", "1100"}, args...)...)
	p.addr = addr
	l := &loader{process: p}
	var err error
	if l.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	// Not StdoutPipe, which Wait closes though the report is not read yet.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	p.cmd.Stdout = w
	c.run(p)
	_ = w.Close()
	l.out = bufio.NewReader(r)
	if line, err := l.out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("%s says %q, %v", name, line, err)
	}
	c.loaders = append(c.loaders, l)
}

// settle waits until n members own partitions by the tables of all of them, and
// of the clients that run.
func (c *chaos) settle(n int) time.Duration {
	c.t.Helper()
	began := time.Now()
	all := slices.Clone(c.members)
	for _, l := range c.loaders {
		if !l.ended {
			all = append(all, l.process)
		}
	}
	var last string
	eventually(c.t, 30*time.Second, func() bool {
		last = c.unsettled(n, all)
		return last == ""
	}, func() string { return last })
	return time.Since(began)
}

// unsettled says what keeps some processes from agreeing; empty: nothing.
func (c *chaos) unsettled(n int, all []*process) string {
	prints := make(map[string]bool)
	for _, p := range all {
		ask := c.ask
		if ask == nil {
			ask = (*process).ping
		}
		r, err := ask(p)
		if err != nil {
			return fmt.Sprintf("%s: %v", p.name, err)
		}
		if !r.Ready || r.Owners != n {
			return fmt.Sprintf("%s: ready %v (%s), %d owners", p.name, r.Ready, r.Why, r.Owners)
		}
		prints[r.Fingerprint] = true
	}
	if len(prints) != 1 {
		return fmt.Sprintf("fingerprints %v", prints)
	}
	return ""
}

// mark tells the clients that a member was killed just now.
func (c *chaos) mark(name string, at time.Time) {
	for _, l := range c.loaders {
		fmt.Fprintf(l.in, "mark %s %d\n", name, at.UnixNano())
	}
}

// goOn lets the load go on for a while: how long things last is what is tested.
func (c *chaos) goOn(d time.Duration) { <-time.After(d) }

// finish ends the load and checks what must hold in every test.
func (c *chaos) finish() []loadReport {
	t := c.t
	t.Helper()
	reports := make([]loadReport, len(c.loaders))
	for _, l := range c.loaders {
		_ = l.in.Close()
	}
	for i, l := range c.loaders {
		r := &reports[i]
		*r = l.end(t)
		t.Logf("%s: %d calls (%d not idempotent), %d + %d failed, %d failovers, %d relayed, %d hedges; p50 %.2f ms, p99 %.2f ms, max %.0f ms",
			l.name, r.Calls, r.Once, r.Failed, r.FailedOnce, r.Failovers, r.Stats["relayed_calls"], r.Stats["hedges"], r.P50, r.P99, r.Max)
		if r.Failed+r.FailedOnce > 0 {
			t.Errorf("%s: %d + %d calls failed: %v\n%s", l.name, r.Failed, r.FailedOnce, r.Codes, strings.Join(r.Errors, "\n"))
		}
		if r.Wrong > 0 || r.Unowned > 0 {
			t.Errorf("%s: %d answers to another key, %d by nodes that neither owned the key nor stood in", l.name, r.Wrong, r.Unowned)
		}
		if r.Calls < 500 {
			t.Errorf("%s made only %d calls", l.name, r.Calls)
		}
	}
	return reports
}

// end ends a client and gives its report.
func (l *loader) end(t *testing.T) (r loadReport) {
	t.Helper()
	l.ended = true
	_ = l.in.Close()
	if err := json.NewDecoder(l.out).Decode(&r); err != nil {
		t.Fatalf("the report of %s: %v", l.name, err)
	}
	return r
}

// chaosKills is how often TestChaosKill kills, from the environment.
func chaosKills() int {
	if n, err := strconv.Atoi(os.Getenv("CHAOS_KILLS")); err == nil && n > 0 {
		return n
	}
	return 20
}

// An owner is killed again and again; no idempotent call fails, and its keys are
// served by others at once.
func TestChaosKill(t *testing.T) {
	c := startChaos(t)
	for i := range chaosKills() {
		victim := c.members[i%len(c.members)]
		victim.kill()
		c.mark(victim.name, time.Now())
		c.drop(victim)
		c.settle(chaosNodes - 1)
		c.serve(victim.name, victim.addr)
		c.settle(chaosNodes)
	}
	var recovered []float64
	for _, r := range c.finish() {
		recovered = append(recovered, r.Recovered...)
	}
	slices.Sort(recovered)
	t.Logf("%d kills, seen by two clients: recovered after p50 %.1f ms, p99 %.1f ms", chaosKills(),
		recovered[len(recovered)/2], recovered[min(len(recovered)*99/100, len(recovered)-1)])
	if recovered[0] < 0 {
		t.Error("keys of a killed member were never served again")
	}
	if worst := recovered[len(recovered)-1]; worst > 100 {
		t.Errorf("the slowest recovery took %.1f ms, want at most 100", worst)
	}
}

// A member is stopped for ten seconds, and goes on; no idempotent call fails or
// takes more than a second.
func TestChaosFreeze(t *testing.T) {
	c := startChaos(t)
	victim := c.members[2]
	if err := victim.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c.goOn(10 * time.Second)
	if err := victim.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	c.settle(chaosNodes)
	for i, r := range c.finish() {
		if r.Max > 1000 {
			t.Errorf("client %d: the slowest call took %.0f ms, want at most 1000", i+1, r.Max)
		}
	}
}

// Every member leaves gracefully and comes back; no call fails, whether or not
// it may be sent again, and none is executed twice.
func TestChaosRollingRestart(t *testing.T) {
	c := startChaos(t, "-once", "0.3")
	for _, m := range slices.Clone(c.members) {
		if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if status := m.exit(t); status != 0 {
			t.Errorf("%s ended with status %d", m.name, status)
		}
		c.drop(m)
		c.settle(chaosNodes - 1)
		c.serve(m.name, m.addr)
		c.settle(chaosNodes)
	}
	once := 0
	for _, r := range c.finish() {
		once += r.Once
	}
	c.executedOnce(once)
}

// executedOnce checks that so many calls that are not idempotent were executed,
// each of them once.
func (c *chaos) executedOnce(want int) {
	t := c.t
	t.Helper()
	seen := make(map[string]string)
	files, err := filepath.Glob(filepath.Join(c.dir, "executed-*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of executed calls: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range strings.Fields(string(text)) {
			if first, twice := seen[id]; twice {
				t.Errorf("%s was executed twice: %s and %s", id, filepath.Base(first), filepath.Base(file))
			}
			seen[id] = file
		}
	}
	if len(seen) != want {
		t.Errorf("%d calls that are not idempotent were executed, want %d", len(seen), want)
	}
	t.Logf("%d calls that are not idempotent, each executed once", len(seen))
}

// A sixth member joins under load; no call fails, and only keys that move to it
// change their owner.
func TestChaosJoin(t *testing.T) {
	c := startChaos(t, "-once", "0.3")
	keys := keysOf(3000)
	cl := c.client(c.members[0])
	before := owners(t, cl, keys)
	c.goOn(time.Second)
	c.serve("node-6", freeAddrs(t, 1)[0])
	c.settle(chaosNodes + 1)
	c.goOn(time.Second)
	moved := 0
	for key, owner := range owners(t, cl, keys) {
		if owner == before[key] {
			continue
		}
		moved++
		if owner != "node-6" {
			t.Errorf("%s moved from %s to %s", key, before[key], owner)
		}
	}
	t.Logf("%d of %d keys moved, all to the new member", moved, len(keys))
	once := 0
	for _, r := range c.finish() {
		once += r.Once
	}
	c.executedOnce(once)
}
