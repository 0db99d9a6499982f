package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/transport"
)

// fixedAddr gives an address that is free now and that no connection takes by
// chance: ports for outgoing connections begin at 32768.
func fixedAddr(t testing.TB) string {
	t.Helper()
	const from, ports = 20_000, 12_000
	for i := range ports {
		addr := fmt.Sprintf("127.0.0.1:%d", from+(os.Getpid()*31+int(time.Now().UnixNano())+i)%ports)
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		_ = ln.Close()
		return addr
	}
	t.Fatal("no port is free")
	return ""
}

// logs takes the lines of a logger.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// wait waits for one line that has all these parts.
func (l *logs) wait(t testing.TB, parts ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("log line with %q", parts), func() error {
		text := l.String()
		for line := range strings.Lines(text) {
			missing := false
			for _, part := range parts {
				missing = missing || !strings.Contains(line, part)
			}
			if !missing {
				return nil
			}
		}
		return errors.New(text)
	})
}

// wires is the network of one node, whose outgoing connections a test can cut
// and whose dials it can make fail.
type wires struct {
	transport.Network

	mu    sync.Mutex
	conns map[net.Conn]bool
	fail  func(addr string) error // of dials; nil lets all through
}

func newWires() *wires { return &wires{Network: transport.System(), conns: make(map[net.Conn]bool)} }

func (w *wires) Dial(ctx context.Context, addr string) (net.Conn, error) {
	w.mu.Lock()
	fail := w.fail
	w.mu.Unlock()
	if fail != nil {
		if err := fail(addr); err != nil {
			return nil, err
		}
	}
	nc, err := w.Network.Dial(ctx, addr)
	if err == nil {
		w.mu.Lock()
		w.conns[nc] = true
		w.mu.Unlock()
	}
	return nc, err
}

// failing makes dials fail from now on.
func (w *wires) failing(fail func(addr string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = fail
}

// cut ends every connection that was dialled so far.
func (w *wires) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for nc := range w.conns {
		_ = nc.Close()
	}
	clear(w.conns)
}
