package node

import (
	"context"
	"net"
	"sync"

	"github.com/meshnode/meshnode/transport"
)

// freezer is the network of one node that can stop to read, as a process does
// that was stopped by SIGSTOP: the system goes on to accept connections and to
// take bytes for it.
type freezer struct {
	transport.Network

	mu   sync.Mutex
	thaw chan struct{} // closed when it goes on; nil: it runs
}

func newFreezer() *freezer { return &freezer{Network: transport.System()} }

func (f *freezer) freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.thaw = make(chan struct{})
}

func (f *freezer) goOn() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.thaw != nil {
		close(f.thaw)
		f.thaw = nil
	}
}

// wait waits until the node runs, or closed is.
func (f *freezer) wait(closed <-chan struct{}) {
	f.mu.Lock()
	thaw := f.thaw
	f.mu.Unlock()
	if thaw == nil {
		return
	}
	select {
	case <-thaw:
	case <-closed:
	}
}

func (f *freezer) Listen(ctx context.Context, addr string) (net.Listener, error) {
	ln, err := f.Network.Listen(ctx, addr)
	return &freezingListener{ln, f}, err
}

func (f *freezer) Dial(ctx context.Context, addr string) (net.Conn, error) {
	nc, err := f.Network.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	return newFreezing(nc, f), nil
}

type freezingListener struct {
	net.Listener
	f *freezer
}

func (l *freezingListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newFreezing(nc, l.f), nil
}

// freezing is a connection whose reader does not get what arrives while the
// node is frozen.
type freezing struct {
	net.Conn
	f      *freezer
	once   sync.Once
	closed chan struct{}
}

func newFreezing(nc net.Conn, f *freezer) *freezing {
	return &freezing{Conn: nc, f: f, closed: make(chan struct{})}
}

func (c *freezing) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.f.wait(c.closed)
	return n, err
}

func (c *freezing) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
