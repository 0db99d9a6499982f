package membership

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/transport"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

// TestMain looks for goroutines that are left over. Probes of memberlist that
// Stop has interrupted get the time that they may take.
func TestMain(m *testing.M) {
	waitTogether()
	code := m.Run()
	for end := time.Now().Add(5 * time.Second); code == 0; {
		err := goleak.Find()
		if err == nil {
			break
		}
		if time.Now().After(end) {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// waitTogether lets more tests run beside each other than there are processors, since
// most of them wait for gossip. -parallel overrides it.
func waitTogether() {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set(strconv.Itoa(min(3*runtime.GOMAXPROCS(0), 6)))
	}
}

// lab is a network of nodes on loopback sockets whose traffic can be cut, with
// a stand-in for the mesh protocol: Identify looks the node up in a map.
type lab struct {
	t    testing.TB
	name string              // of the cluster
	mem  *memory             // in place of sockets, in virtual time
	pass func(time.Duration) // lets virtual time pass; nil in real time

	mu      sync.Mutex
	nodes   map[netip.AddrPort]*labNode
	blocked func(from, to netip.AddrPort) bool
	hosts   map[string][]netip.Addr
	boots   uint64
}

// labNode is one process of the lab.
type labNode struct {
	*Cluster
	lab  *lab
	cfg  Config
	addr netip.AddrPort
	logs *syncBuffer

	sockets []interface{ Close() error }
	serving sync.WaitGroup
	once    sync.Once
}

// newLab gives its cluster a name of its own: a port that one lab closes is soon used by
// another one, whose nodes must not be taken for the lost ones.
func newLab(t testing.TB) *lab {
	name := fmt.Sprintf("lab-%d-%s", os.Getpid(), t.Name())
	return &lab{t: t, name: name[:min(len(name), MaxName)], nodes: map[netip.AddrPort]*labNode{}, hosts: map[string][]netip.Addr{}}
}

var errCut = errors.New("lab: no route")

func (l *lab) reachable(from, to netip.AddrPort) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.blocked == nil || !l.blocked(from, to)
}

// cut drops all traffic for which blocked is true, in both directions.
func (l *lab) cut(blocked func(a, b netip.AddrPort) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.blocked = nil
	if blocked != nil {
		l.blocked = func(a, b netip.AddrPort) bool { return blocked(a, b) || blocked(b, a) }
	}
}

func (l *lab) setHost(name string, addrs ...netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hosts[name] = addrs
}

// config is one that works, with a boot id later than those before.
func (l *lab) config(name string, seeds ...string) Config {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.boots++
	return Config{
		Name: name, Cluster: l.name, Seeds: seeds, Profile: Local, RandSeed: l.boots,
		Meta: Meta{
			Boot: NewBoot(time.Now(), rand.New(rand.NewPCG(l.boots, 1))) + l.boots<<bootRandomBits,
			Zone: "z1", Weight: 1, Protocol: 1, Params: TableParams{Partitions: 1 << 14, SlackPermille: 50},
		},
	}
}

// open starts a node that has not joined. at is its address, or the zero value
// for a free one.
func (l *lab) open(cfg Config, at netip.AddrPort) *labNode {
	l.t.Helper()
	n := &labNode{lab: l, cfg: cfg, logs: &syncBuffer{}}
	var listener net.Listener
	if l.mem != nil {
		n.addr, n.cfg.Packets = l.mem.open(at)
	} else {
		listener, n.cfg.Packets = listen(l.t, at)
		n.addr = listener.Addr().(*net.TCPAddr).AddrPort()
		n.sockets = append(n.sockets, listener)
	}
	n.sockets = append(n.sockets, n.cfg.Packets)
	n.cfg.Packets = &labPackets{PacketConn: n.cfg.Packets, node: n}
	n.cfg.Network, n.cfg.Advertise, n.cfg.Identify = labNetwork{n}, n.addr, n.identify
	n.cfg.Logger = zerolog.New(n.logs).Level(zerolog.InfoLevel)
	var err error
	if n.Cluster, err = New(n.cfg); err != nil {
		l.t.Fatal(err)
	}
	if err := n.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.mu.Lock()
	l.nodes[n.addr] = n
	l.mu.Unlock()
	if listener != nil {
		n.serving.Go(func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				n.serve(conn)
			}
		})
	}
	l.t.Cleanup(n.crash)
	return n
}

func (n *labNode) serve(conn net.Conn) { n.ServeStream(conn) }

// start opens a node and lets it join.
func (l *lab) start(name string, seeds ...string) *labNode {
	l.t.Helper()
	return l.startConfig(l.config(name, seeds...))
}

func (l *lab) startConfig(cfg Config) *labNode {
	l.t.Helper()
	n := l.open(cfg, netip.AddrPort{})
	n.mustJoin()
	return n
}

func (n *labNode) mustJoin() {
	n.lab.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := n.Join(ctx); err != nil {
		n.lab.t.Fatalf("%s: %v", n.cfg.Name, err)
	}
}

// crash ends the node without a word.
func (n *labNode) crash() {
	n.once.Do(func() {
		n.lab.mu.Lock()
		delete(n.lab.nodes, n.addr)
		n.lab.mu.Unlock()
		n.Stop()
		for _, s := range n.sockets {
			_ = s.Close()
		}
		n.serving.Wait()
	})
}

// all gives the nodes that are not crashed.
func (l *lab) all() []*labNode {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.nodes))
}

func (n *labNode) seed() string { return n.addr.String() }

// identify stands for a question over the mesh protocol.
func (n *labNode) identify(ctx context.Context, addr netip.AddrPort) (Identity, error) {
	if !n.lab.reachable(n.addr, addr) {
		return Identity{}, errCut
	}
	n.lab.mu.Lock()
	other := n.lab.nodes[addr]
	n.lab.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return Identity{}, ctx.Err()
	case other == nil:
		return Identity{}, errors.New("lab: connection refused")
	case other.cfg.Cluster != n.cfg.Cluster:
		return Identity{}, fmt.Errorf("%w: %q", ErrClusterMismatch, other.cfg.Cluster)
	case KeyID(other.cfg.GossipKey) != KeyID(n.cfg.GossipKey):
		return Identity{}, ErrGossipKeyMismatch
	}
	return Identity{Name: other.cfg.Name, Boot: other.cfg.Meta.Boot}, nil
}

// listen opens UDP and TCP sockets of one number.
func listen(t testing.TB, at netip.AddrPort) (net.Listener, net.PacketConn) {
	t.Helper()
	want := "127.0.0.1:0"
	if at.IsValid() {
		want = at.String()
	}
	var last error
	for range 50 {
		l, err := transport.System().Listen(t.Context(), want)
		if err == nil {
			p, err := transport.System().ListenPacket(t.Context(), l.Addr().String())
			if err == nil {
				return l, p
			}
			_ = l.Close()
			last = err
			continue
		}
		last = err
	}
	t.Fatal(last)
	return nil, nil
}

// labNetwork is the network as one node sees it.
type labNetwork struct{ node *labNode }

func (w labNetwork) Listen(context.Context, string) (net.Listener, error) {
	return nil, errors.ErrUnsupported
}

func (w labNetwork) ListenPacket(context.Context, string) (net.PacketConn, error) {
	return nil, errors.ErrUnsupported
}

func (w labNetwork) Dial(ctx context.Context, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	l := w.node.lab
	if !l.reachable(w.node.addr, to) {
		return nil, errCut
	}
	if l.mem == nil {
		return transport.System().Dial(ctx, addr)
	}
	l.mu.Lock()
	n := l.nodes[to]
	l.mu.Unlock()
	if n == nil {
		return nil, errCut
	}
	near, far := net.Pipe()
	n.serve(far)
	return near, nil
}

func (w labNetwork) Resolve(_ context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	w.node.lab.mu.Lock()
	defer w.node.lab.mu.Unlock()
	addrs, ok := w.node.lab.hosts[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return slices.Clone(addrs), nil
}

// labPackets loses the packets that are cut off.
type labPackets struct {
	net.PacketConn
	node *labNode
}

func (p *labPackets) WriteTo(b []byte, to net.Addr) (int, error) {
	if !p.node.lab.reachable(p.node.addr, to.(*net.UDPAddr).AddrPort()) {
		return len(b), nil
	}
	return p.PacketConn.WriteTo(b, to)
}

// syncBuffer takes logs.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// eventually waits for a condition.
func eventually(t testing.TB, within time.Duration, what string, cond func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		if time.Since(start) > within {
			t.Fatalf("not within %v: %s", within, what)
		}
		<-tick.C
	}
	return time.Since(start)
}

// agree waits until all nodes see exactly the names, and of the nodes themselves the
// lives that are given: a former life has the same name.
func agree(t testing.TB, within time.Duration, nodes []*labNode, names ...string) time.Duration {
	t.Helper()
	slices.Sort(names)
	start := time.Now()
	for _, n := range nodes {
		eventually(t, within, fmt.Sprintf("%s sees %v", n.cfg.Name, names), func() bool {
			seen := n.Snapshot()
			return slices.Equal(seen.Names(), names) && !slices.ContainsFunc(nodes, func(other *labNode) bool {
				m, ok := seen.Find(other.cfg.Name)
				return ok && m.Boot != other.cfg.Meta.Boot
			})
		})
	}
	return time.Since(start)
}

// health gives what a node thinks of a member.
func (n *labNode) health(name string) (Member, bool) {
	members, err := n.Members(n.lab.t.Context())
	if err != nil {
		n.lab.t.Fatal(err)
	}
	i := slices.IndexFunc(members, func(m Member) bool { return m.Name == name })
	if i < 0 {
		return Member{}, false
	}
	return members[i], true
}
