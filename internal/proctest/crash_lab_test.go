//go:build process

package proctest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// crashNodes are the nodes of a crash test.
const crashNodes = 3

// standing is what a teller says of itself; see teller/event.go.
type standing struct {
	What    string  `json:"what"`
	MS      float64 `json:"ms"`
	Pending int     `json:"pending"`
	Found   int     `json:"found"`
	Counts  struct {
		Enqueued   uint64 `json:"enqueued"`
		Executed   uint64 `json:"executed"`
		Duplicates uint64 `json:"duplicates"`
		NotHeld    uint64 `json:"not_held"`
		Fetched    uint64 `json:"fetched"`
		Orphans    uint64 `json:"orphans_served"`
	} `json:"counts"`
}

// teller is a process of the crash test.
type teller struct {
	*process
	in     io.WriteCloser
	said   chan struct{} // closed when its output has ended
	killed bool

	mu     sync.Mutex
	latest standing
	first  map[string]standing // the first of each kind
}

// listen takes what a teller says, until it ends. The last line of one that is
// killed may be cut.
func (p *teller) listen(out io.Reader) {
	defer close(p.said)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var s standing
		if json.Unmarshal(lines.Bytes(), &s) != nil {
			continue
		}
		p.mu.Lock()
		p.latest = s
		if _, known := p.first[s.What]; !known {
			p.first[s.What] = s
		}
		p.mu.Unlock()
	}
}

// when gives what the teller said when something happened; ok is false if it did
// not.
func (p *teller) when(what string) (s standing, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok = p.first[what]
	return s, ok
}

func (p *teller) now() standing {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.latest
}

// crash is a set of tellers on directories that outlive them.
type crash struct {
	t      *testing.T
	dir    string
	plant  string
	rate   float64
	seed   uint64
	random *rand.Rand
	addrs  []string
	nodes  []*teller // the one that runs, or ran last, on each directory
	all    []*teller // every process

	kills, early int // early: before the killed had executed a call again
	left         int // gracefully, while others were killed
}

// newCrash starts the tellers and has the accounts opened.
func newCrash(t *testing.T, plant string) *crash {
	t.Helper()
	c := &crash{
		t: t, plant: plant, rate: float64(chaosSetting("CRASH_RATE", 150)), addrs: freeAddrs(t, crashNodes), nodes: make([]*teller, crashNodes),
		seed: chaosSetting("CRASH_SEED", uint64(time.Now().UnixNano())%1_000_000),
	}
	c.random = rand.New(rand.NewPCG(c.seed, 9))
	t.Logf("seed %d; again with: CRASH_SEED=%[1]d go test -tags process -count 1 -run '^%s$' -v ./internal/proctest", c.seed, t.Name())
	var err error
	if c.dir, err = os.MkdirTemp("", "meshnode-crash-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("directories and logs: %s", c.keep())
		} else if err := os.RemoveAll(c.dir); err != nil {
			t.Error(err)
		}
	})
	for i := range c.nodes {
		c.start(i, "-expect", fmt.Sprint(crashNodes))
	}
	c.ready(60 * time.Second)
	fmt.Fprintln(c.nodes[0].in, "open")
	c.until(60*time.Second, "the accounts are opened", func() bool { _, ok := c.nodes[0].when("opened"); return ok })
	return c
}

// keep writes the logs of all processes beside their directories, and says where.
func (c *crash) keep() string {
	for i, p := range c.all {
		if err := os.WriteFile(filepath.Join(c.dir, fmt.Sprintf("%03d-%s.log", i+1, p.name)), []byte(p.log.String()), 0o600); err != nil {
			return err.Error()
		}
	}
	return c.dir
}

// start starts a teller on its directory, whatever is in it.
func (c *crash) start(i int, args ...string) {
	c.t.Helper()
	others := slices.Delete(slices.Clone(c.addrs), i, i+1)
	name := fmt.Sprintf("node-%d", i+1)
	args = append([]string{
		"-name", name, "-bind", c.addrs[i], "-join", strings.Join(others, ","), "-data", c.dir,
		"-rate", fmt.Sprint(c.rate), "-seed", fmt.Sprint(c.seed + uint64(len(c.all))),
	}, args...)
	p := &teller{
		process: &process{name: name, addr: c.addrs[i], log: &logBuffer{}, done: make(chan struct{}), cmd: exec.Command(tellerProgram, args...)},
		said:    make(chan struct{}), first: map[string]standing{},
	}
	p.cmd.Stderr = p.log
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "MESHNODE_PLANT="+c.plant)
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		c.t.Fatal(err)
	}
	r, w, err := os.Pipe() // not StdoutPipe, which Wait closes though all is not read yet
	if err != nil {
		c.t.Fatal(err)
	}
	p.cmd.Stdout = w
	p.launch(c.t)
	_ = w.Close()
	go func() {
		p.listen(r)
		_ = r.Close()
	}()
	c.nodes[i] = p
	c.all = append(c.all, p)
}

// kill ends a teller as a crash.
func (c *crash) kill(i int) {
	p := c.nodes[i]
	if _, ok := p.when("serving"); !ok {
		c.early++
	}
	p.killed = true
	p.kill()
	<-p.said
	c.kills++
}

// leave has one teller leave gracefully, kills another soon after, or the leaving
// one, and starts both again.
func (c *crash) leave(i, other int) {
	c.t.Helper()
	leaving := c.nodes[i]
	if err := leaving.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		c.t.Fatal(err)
	}
	c.left++
	c.wait(150 * time.Millisecond)
	if c.random.IntN(3) == 0 {
		other = i
	}
	c.kill(other)
	if other != i {
		c.start(other)
		leaving.exit(c.t) // with whatever status: others may not have taken all
		<-leaving.said
	}
	c.start(i)
}

// wait lets time pass, up to so much: when a kill comes is what is tested.
func (c *crash) wait(atMost time.Duration) {
	<-time.After(time.Duration(c.random.Int64N(int64(atMost))))
}

// until waits for what must happen; a teller that ends by itself fails the test.
func (c *crash) until(within time.Duration, what string, ok func() bool) {
	c.t.Helper()
	eventually(c.t, within, func() bool {
		for _, p := range c.nodes {
			select {
			case <-p.done:
				c.t.Fatalf("%s ended by itself: %v", p.name, p.err)
			default:
			}
		}
		return ok()
	}, func() string { return what + ": " + c.stand() })
}

func (c *crash) stand() string {
	var text []string
	for _, p := range c.nodes {
		s := p.now()
		text = append(text, fmt.Sprintf("%s after %.1f s: %s, %d pending, %d executed", p.name, s.MS/1000, s.What, s.Pending, s.Counts.Executed))
	}
	return strings.Join(text, "; ")
}

// ready waits until all have joined and, if they work, execute calls.
func (c *crash) ready(within time.Duration) {
	c.t.Helper()
	c.until(within, "all have joined", func() bool {
		return !slices.ContainsFunc(c.nodes, func(p *teller) bool { _, ok := p.when("ready"); return !ok })
	})
}

// finish ends the transfers, waits until nothing is left to be made, and stops the
// tellers one after the other.
func (c *crash) finish() {
	c.t.Helper()
	c.ready(60 * time.Second)
	for _, p := range c.nodes {
		fmt.Fprintln(p.in, "quiet")
	}
	still := 0 // times in a row that nobody had anything to do; handlers' own calls are seen a moment later
	c.until(120*time.Second, "all calls are made", func() bool {
		if slices.ContainsFunc(c.nodes, func(p *teller) bool { return p.now().Pending > 0 }) {
			still = 0
		} else {
			still++
		}
		return still > 50
	})
	for _, p := range c.nodes {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			c.t.Fatal(err)
		}
		if status := p.exit(c.t); status != 0 {
			c.t.Errorf("%s ended with status %d", p.name, status)
		}
		<-p.said
	}
}

// verdict is what the checker says; see examples/transfer/check.
type verdict struct {
	OK        bool           `json:"ok"`
	Accounts  int            `json:"accounts"`
	Sum       int64          `json:"sum"`
	Transfers int            `json:"transfers"`
	Torn      int            `json:"torn"`
	Applied   int            `json:"applied"`
	Refused   int            `json:"refused"`
	Expired   int            `json:"expired"`
	Unasked   int            `json:"unasked"`
	Findings  map[string]int `json:"findings"`
	Examples  []string       `json:"examples"`
}

// check runs the checker. Its exit status must fit what it says.
func (c *crash) check() (v verdict) {
	c.t.Helper()
	var complaint strings.Builder
	cmd := exec.Command(checker, "-o", "json", c.dir)
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.t.Fatal(err)
	}
	if status := cmd.ProcessState.ExitCode(); status == 2 {
		c.t.Fatalf("the checker cannot tell: %s", complaint.String())
	} else if err := json.Unmarshal(out, &v); err != nil || v.OK != (status == 0) {
		c.t.Fatalf("the checker ended with status %d and said %s: %v", status, out, err)
	}
	return v
}
