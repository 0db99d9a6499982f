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
	"testing"
	"time"

	"github.com/meshnode/meshnode/node"
)

// chaosNodes are the members of a chaos test.
const chaosNodes = 5

// loadReport is what a client has met; see worker/report.go.
type loadReport struct {
	Seconds    float64           `json:"seconds"`
	Calls      int               `json:"calls"`
	Once       int               `json:"once"`
	Failed     int               `json:"failed"`
	FailedOnce int               `json:"failed_once"`
	Codes      map[string]int    `json:"codes"`
	Errors     []string          `json:"errors"`
	Wrong      int               `json:"wrong"`
	Unowned    int               `json:"unowned"`
	Failovers  int               `json:"failovers"`
	Forgotten  int               `json:"forgotten"`
	P50        float64           `json:"p50_ms"`
	P99        float64           `json:"p99_ms"`
	Max        float64           `json:"max_ms"`
	Recovered  []float64         `json:"recovered_ms"`
	Waited     []float64         `json:"waited_ms"`
	Stats      map[string]uint64 `json:"stats"`
}

// chaos is a cluster of workers and two clients that put load on it.
type chaos struct {
	*cluster
	dir     string
	seed    uint64 // of the clients' choices; each has its own
	started []*process
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

// leastRate is what the clients of startChaos send together, at least, in calls a
// second. They aim at 2,200.
const leastRate = 2000

// newChaos gives an empty cluster. A test of it that fails says how to run it
// again, and leaves the logs of all its processes behind.
func newChaos(t *testing.T) *chaos {
	t.Helper()
	c := &chaos{cluster: &cluster{t: t}, dir: t.TempDir(), seed: chaosSetting("CHAOS_SEED", uint64(time.Now().UnixNano())%1_000_000)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d; again with: CHAOS_SEED=%[1]d go test -tags process -count 1 -run '^%s$' -v ./internal/proctest", c.seed, t.Name())
			t.Logf("logs: %s", c.keepLogs())
		}
	})
	return c
}

// chaosSetting is a number from the environment; 0 and what is none are taken for
// otherwise.
func chaosSetting(name string, otherwise uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv(name), 10, 32); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// keepLogs writes the logs of all processes to a folder that outlives the test.
func (c *chaos) keepLogs() string {
	dir, err := os.MkdirTemp("", "meshnode-chaos-")
	if err != nil {
		return err.Error()
	}
	for i, p := range c.started {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%02d-%s.log", i+1, p.name)), []byte(p.log.String()), 0o600); err != nil {
			return err.Error()
		}
	}
	return dir
}

// startChaos starts the members and the clients.
func startChaos(t *testing.T, args ...string) *chaos {
	t.Helper()
	c := newChaos(t)
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
	c.started = append(c.started, p)
	return p
}

// serve starts a member.
func (c *chaos) serve(name, addr string) *process {
	c.t.Helper()
	args := []string{"serve", "-name", name, "-bind", addr, "-executed", filepath.Join(c.dir, "executed-"+name)}
	if contact := c.contact(addr); contact != "" {
		args = append(args, "-join", contact)
	}
	p := c.worker(name, args...)
	p.addr = addr
	p.launch(c.t)
	c.members = append(c.members, p)
	return p
}

// contact is a member at another address; empty: there is none.
func (c *chaos) contact(addr string) string {
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
	seed := strconv.FormatUint(c.seed+uint64(len(c.loaders)), 10)
	args = append([]string{"load", "-name", name, "-bind", addr, "-join", c.contact(""), "-rate", "1100", "-seed", seed}, args...)
	p := c.worker(name, args...)
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
	p.launch(t)
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
		prints[r.Fingerprint+" of members "+r.MembersDigest] = true
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

// finish ends the load and checks what must hold in every test: no call failed.
func (c *chaos) finish() []loadReport {
	c.t.Helper()
	reports := c.end()
	for i, r := range reports {
		if r.FailedOnce > 0 {
			c.t.Errorf("%s: %d calls that are not idempotent failed: %v\n%s", c.loaders[i].name, r.FailedOnce, r.Codes, strings.Join(r.Errors, "\n"))
		}
	}
	return reports
}

// end ends the load and checks what must hold even where calls may fail that are
// not idempotent.
func (c *chaos) end() []loadReport {
	t := c.t
	t.Helper()
	reports := make([]loadReport, len(c.loaders))
	for _, l := range c.loaders {
		_ = l.in.Close()
	}
	rate := 0.0
	for i, l := range c.loaders {
		r := &reports[i]
		*r = l.end(t)
		rate += float64(r.Calls) / r.Seconds
		t.Logf("%s: %d calls (%d not idempotent) in %.1f s, %d + %d failed, %d failovers, %d relayed, %d hedges; p50 %.2f ms, p99 %.2f ms, max %.0f ms",
			l.name, r.Calls, r.Once, r.Seconds, r.Failed, r.FailedOnce, r.Failovers, r.Stats["relayed_calls"], r.Stats["hedges"], r.P50, r.P99, r.Max)
		if r.Failed > 0 {
			t.Errorf("%s: %d idempotent calls failed: %v\n%s", l.name, r.Failed, r.Codes, strings.Join(r.Errors, "\n"))
		}
		if r.Wrong > 0 || r.Unowned > 0 {
			t.Errorf("%s: %d answers to another key, %d by nodes that neither owned the key nor stood in", l.name, r.Wrong, r.Unowned)
		}
		if r.Forgotten > 0 {
			t.Errorf("%s made %d calls more than it could keep the times of", l.name, r.Forgotten)
		}
	}
	if rate < leastRate {
		t.Errorf("the clients made %.0f calls a second, want at least %d", rate, leastRate)
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

// executedOnce checks that so many calls that are not idempotent were executed,
// each of them once.
func (c *chaos) executedOnce(want int) {
	c.t.Helper()
	if got := c.executed(); got != want {
		c.t.Errorf("%d calls that are not idempotent were executed, want %d", got, want)
	}
}

// executed is how many calls were executed that are not idempotent. None may have
// been twice.
func (c *chaos) executed() int {
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
	t.Logf("%d calls that are not idempotent were executed", len(seen))
	return len(seen)
}
