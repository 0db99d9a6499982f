//go:build process

package proctest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// The paths of the programs under test, built once by TestMain.
var daemon, worker, tellerProgram, checker string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "meshnode-proctest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	daemon, worker = filepath.Join(dir, "meshnode"), filepath.Join(dir, "worker")
	tellerProgram, checker = filepath.Join(dir, "teller"), filepath.Join(dir, "check")
	for path, source := range map[string]string{
		daemon: "cmd/meshnode", worker: "internal/proctest/worker",
		tellerProgram: "internal/proctest/teller", checker: "examples/transfer/check",
	} {
		build := exec.Command("go", "build", "-o", path, "github.com/meshnode/meshnode/"+source)
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building %s: %v\n%s", source, err, out)
			os.Exit(1)
		}
	}
	status := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

// process is one daemon.
type process struct {
	name string
	tls  *transport.TLS // of those who talk to it; nil: plain
	addr string
	cmd  *exec.Cmd
	log  *logBuffer
	done chan struct{} // closed when it has ended
	err  error         // of Wait, once done is closed
}

// logBuffer takes a daemon's log; reading it while it grows is safe.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// start runs a daemon; it is killed at the end of the test if it still lives.
func start(t *testing.T, name, addr string, args ...string) *process {
	t.Helper()
	p := &process{name: name, addr: addr, log: &logBuffer{}, done: make(chan struct{})}
	args = append([]string{"run", "--name", name, "--bind", addr, "--profile", "local", "--log-format", "json"}, args...)
	p.cmd = exec.Command(daemon, args...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	p.launch(t)
	return p
}

// shownLog is how much of a process's log a failed test shows, in bytes: its end.
const shownLog = 20_000

// launch starts the process; it is killed at the end of the test if it still
// lives, and a test that failed shows its log.
func (p *process) launch(t *testing.T) {
	t.Helper()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGCONT) // who is stopped cannot end
		p.kill()
		if t.Failed() {
			text := p.log.String()
			t.Logf("log of %s (pid %d):\n%s", p.name, p.cmd.Process.Pid, text[max(0, len(text)-shownLog):])
		}
	})
}

// kill ends the process at once, as a crash, and waits for its end.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.done
}

// exit waits for the process to end by itself and gives its exit status.
func (p *process) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s (pid %d) did not end within 20 s", p.name, p.cmd.Process.Pid)
	}
	return p.cmd.ProcessState.ExitCode()
}

// nextPort is where freeAddrs goes on looking. It stays below the range from
// which systems take the ports of outgoing connections.
var nextPort = 10000 + os.Getpid()%20000

// freeAddrs gives loopback addresses whose ports are free in TCP and UDP.
func freeAddrs(t *testing.T, n int) []string {
	t.Helper()
	addrs := make([]string, 0, n)
	for tries := 0; len(addrs) < n; tries++ {
		if tries == 1000 {
			t.Fatalf("no %d free ports below %d", n, nextPort)
		}
		addr := fmt.Sprintf("127.0.0.1:%d", nextPort)
		if nextPort++; nextPort > 31000 {
			nextPort = 10000
		}
		if isFree(addr) {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

func isFree(addr string) bool {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer ln.Close()
	pc, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	return pc.Close() == nil
}

// cluster is a set of daemons that know each other.
type cluster struct {
	t       *testing.T
	members []*process
	pki     *pki // nil: plain streams
}

// startCluster starts n daemons, node-1 the seed of the others, and waits until
// all agree.
func startCluster(t *testing.T, n int, args ...string) *cluster {
	t.Helper()
	c := &cluster{t: t}
	for i, addr := range freeAddrs(t, n) {
		c.add(fmt.Sprintf("node-%d", i+1), addr, args...)
	}
	c.agree(n, 30*time.Second)
	return c
}

func (c *cluster) add(name, addr string, args ...string) *process {
	c.t.Helper()
	if len(c.members) > 0 {
		args = append(args, "--join", c.members[0].addr)
	}
	if c.pki != nil {
		args = append(args, c.pki.flags(name)...)
	}
	p := start(c.t, name, addr, args...)
	if c.pki != nil {
		p.tls = c.pki.client
	}
	c.members = append(c.members, p)
	return p
}

// drop takes a process off the list of those that should live.
func (c *cluster) drop(p *process) {
	for i, m := range c.members {
		if m == p {
			c.members = append(c.members[:i:i], c.members[i+1:]...)
			return
		}
	}
}

// agree waits until every member is ready, knows n owners, has the same fingerprint and
// means the same processes by it, and returns how long that took.
func (c *cluster) agree(n int, within time.Duration) time.Duration {
	c.t.Helper()
	began := time.Now()
	var last string
	eventually(c.t, within, func() bool {
		last = c.differ(n)
		return last == ""
	}, func() string { return fmt.Sprintf("%d members do not agree: %s", n, last) })
	return time.Since(began)
}

// differ says what keeps the members from agreeing; empty: nothing.
func (c *cluster) differ(n int) string {
	var said []string
	prints := make(map[string]bool)
	for _, p := range c.members {
		r, err := p.ping()
		switch {
		case err != nil:
			said = append(said, fmt.Sprintf("%s: %v", p.name, err))
		case !r.Ready || r.Owners != n || r.Members != n:
			said = append(said, fmt.Sprintf("%s: ready %v (%s), %d members, %d owners", p.name, r.Ready, r.Why, r.Members, r.Owners))
		default:
			prints[r.Fingerprint+" of members "+r.MembersDigest] = true
		}
	}
	if len(prints) > 1 {
		said = append(said, fmt.Sprintf("fingerprints %v", prints))
	}
	return strings.Join(said, "; ")
}

func (p *process) ping() (*node.PingReply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c, err := node.Dial(ctx, p.addr, node.ClientConfig{TLS: p.tls})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return node.Ping.Call(ctx, c, &node.PingRequest{})
}

// client connects to a member for the length of the test.
func (c *cluster) client(p *process) *node.Client {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	cl, err := node.Dial(ctx, p.addr, node.ClientConfig{TLS: p.tls})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(cl.Close)
	return cl
}

// owners asks a client's node who owns each key.
func owners(t *testing.T, cl *node.Client, keys []string) map[string]string {
	t.Helper()
	reply, err := node.Owner.Call(context.Background(), cl, &node.OwnerRequest{Keys: keys, N: 1})
	if err != nil {
		t.Fatal(err)
	}
	by := make(map[string]string, len(keys))
	for _, o := range reply.Owners {
		by[o.Key] = o.Owners[0]
	}
	return by
}

// echo routes one key and gives the node that answered.
func echo(ctx context.Context, cl *node.Client, key string) (string, error) {
	reply, err := node.Echo.Call(ctx, cl, &node.EchoRequest{Data: []byte(key)}, rpc.Key(key))
	if err != nil {
		return "", err
	}
	if string(reply.Data) != key {
		return "", errors.New("the echo differs from what was sent")
	}
	return reply.Node, nil
}

func keysOf(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("user-%d", i)
	}
	return keys
}

// eventually polls until ok, and fails the test with what why says.
func eventually(t *testing.T, within time.Duration, ok func() bool, why func() string) {
	t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", within, why())
		}
	}
}
