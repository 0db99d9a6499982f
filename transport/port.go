package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

// StreamKind is what a stream on the shared port speaks.
type StreamKind uint8

// The kinds of streams, told by the first byte.
const (
	StreamUnknown    StreamKind = iota
	StreamMesh                  // the mesh preface
	StreamGossip                // memberlist, whose streams begin with a label
	StreamMsgpackRPC            // a plain MessagePack-RPC client
	StreamTLS                   // TLS, whatever is inside
)

// String names the kind for logs and counters.
func (k StreamKind) String() string {
	switch k {
	case StreamMesh:
		return "mesh"
	case StreamGossip:
		return "gossip"
	case StreamMsgpackRPC:
		return "msgpack-rpc"
	case StreamTLS:
		return "tls"
	}
	return "unknown"
}

// Classify tells a stream's kind from its first byte: 'm' of the mesh preface,
// 244 of memberlist's label header (clusters always have a name), one of an
// array's of MessagePack-RPC: of three or four elements (0x93, 0x94), or with
// the length in two or four bytes (0xdc, 0xdd), as some encoders have it, 0x16 of a TLS record.
func Classify(first byte) StreamKind {
	switch first {
	case 'm':
		return StreamMesh
	case 244:
		return StreamGossip
	case 0x93, 0x94, 0xdc, 0xdd:
		return StreamMsgpackRPC
	case firstOfTLS:
		return StreamTLS
	}
	return StreamUnknown
}

// Port is one number in UDP and TCP. It owns both sockets until Close.
type Port struct {
	listener net.Listener
	packets  net.PacketConn
	addr     netip.AddrPort

	mu     sync.Mutex
	fresh  map[net.Conn]struct{} // first byte not seen yet
	closed bool
	wg     sync.WaitGroup
}

// portTries is how often a free port is looked for when addr says port 0: the
// number that TCP got may be taken in UDP.
const portTries = 16

// OpenPort opens addr in TCP and UDP: "ip:port", or "host:port" with a name of this host, whose
// first address counts, IPv4 before IPv6. Port 0 takes any free one. The error names the address,
// and what to do when it is taken.
func OpenPort(ctx context.Context, network Network, addr string) (*Port, error) {
	want, err := bindAddr(ctx, network, addr)
	if err != nil {
		return nil, fmt.Errorf("bind address %q: %w", addr, err)
	}
	for try := 1; ; try++ {
		p, err := openBoth(ctx, network, want.String())
		if err == nil || want.Port() != 0 || try == portTries {
			return p, err
		}
	}
}

// bindAddr is the address that addr means.
func bindAddr(ctx context.Context, network Network, addr string) (netip.AddrPort, error) {
	if literal, err := netip.ParseAddrPort(addr); err == nil {
		return literal, nil
	}
	host, text, err := net.SplitHostPort(addr)
	port, portErr := strconv.ParseUint(text, 10, 16)
	if err != nil || portErr != nil || host == "" {
		return netip.AddrPort{}, errors.New("want ip:port or host:port, such as 127.0.0.1:7101")
	}
	ips, err := network.Resolve(ctx, host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if len(ips) == 0 {
		return netip.AddrPort{}, errors.New("the name has no address")
	}
	first := slices.IndexFunc(ips, netip.Addr.Is4)
	return netip.AddrPortFrom(ips[max(first, 0)], uint16(port)), nil
}

func openBoth(ctx context.Context, network Network, addr string) (*Port, error) {
	ln, err := network.Listen(ctx, addr)
	if err != nil {
		return nil, bindError("TCP", addr, err)
	}
	bound, err := netip.ParseAddrPort(ln.Addr().String())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listener's address %q: %w", ln.Addr(), err), ln.Close())
	}
	bound = netip.AddrPortFrom(bound.Addr().Unmap(), bound.Port())
	pc, err := network.ListenPacket(ctx, bound.String())
	if err != nil {
		return nil, errors.Join(bindError("UDP", bound.String(), err), ln.Close())
	}
	return &Port{listener: ln, packets: pc, addr: bound, fresh: make(map[net.Conn]struct{})}, nil
}

// bindError says which port could not be had; the cause stays inspectable.
func bindError(proto, addr string, err error) error {
	return fmt.Errorf("cannot listen on %s %s (is another process using that port?): %w", proto, addr, err)
}

// Addr is the bound address, with the real port number.
func (p *Port) Addr() netip.AddrPort { return p.addr }

// Packets is the UDP socket. The port keeps it: don't close it.
func (p *Port) Packets() net.PacketConn { return p.packets }

// StreamHandlers says who takes streams of which kind, on a goroutine of the
// stream's own. The stream is handed over whole, its first byte unread; the
// taker closes it. A nil entry refuses the kind.
type StreamHandlers struct {
	Mesh       func(net.Conn)
	Gossip     func(net.Conn)
	MsgpackRPC func(net.Conn)
	// TLS, if it is not nil, lets nothing in but TLS from clients with a
	// certificate; the streams handed over are what is inside.
	TLS *TLS
	// Refused is told of each stream that was closed, with what it seemed to
	// be (StreamUnknown also for silence). May be nil.
	Refused func(remote net.Addr, kind StreamKind)
}

func (h *StreamHandlers) taker(k StreamKind) func(net.Conn) {
	switch k {
	case StreamMesh:
		return h.Mesh
	case StreamGossip:
		return h.Gossip
	case StreamMsgpackRPC:
		return h.MsgpackRPC
	}
	return nil
}

const (
	// firstByteTimeout cuts streams that say nothing.
	firstByteTimeout = 5 * time.Second
	// maxFresh bounds the streams that have said nothing yet.
	maxFresh = 1024
)

// Serve accepts streams until Close and gives each to the handler of its kind.
// It returns nil after Close, else the listener's error.
func (p *Port) Serve(h StreamHandlers) error {
	backoff := 5 * time.Millisecond
	for {
		nc, err := p.listener.Accept()
		if err != nil {
			if p.isClosed() {
				return nil
			}
			// Out of file descriptors and the like pass; a closed listener
			// does not.
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			time.Sleep(backoff)
			backoff = min(2*backoff, time.Second)
			continue
		}
		backoff = 5 * time.Millisecond
		if !p.admit(nc) {
			h.refuse(nc, StreamUnknown)
			continue
		}
		go p.sort(nc, h)
	}
}

func (h *StreamHandlers) refuse(nc net.Conn, k StreamKind) {
	_ = nc.Close()
	if h.Refused != nil {
		h.Refused(nc.RemoteAddr(), k)
	}
}

// admit registers a fresh stream, unless the port is closed or full.
func (p *Port) admit(nc net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.fresh) >= maxFresh {
		return false
	}
	p.fresh[nc] = struct{}{}
	p.wg.Add(1)
	return true
}

// sort finds out what a fresh stream is and hands it over. Those who are told
// why they are refused count as fresh until then.
func (p *Port) sort(nc net.Conn, h StreamHandlers) {
	defer p.wg.Done()
	stream, kind, err := h.tell(nc)
	explain(nc, kind, err)
	p.mu.Lock()
	delete(p.fresh, nc)
	p.mu.Unlock()
	take := h.taker(kind)
	if take == nil || err != nil {
		h.refuse(nc, kind)
		return
	}
	take(stream)
}

func (p *Port) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// Close closes both sockets and every stream whose kind is not known yet, and
// waits until the handlers of all streams have returned. Close those first.
func (p *Port) Close() error {
	p.mu.Lock()
	p.closed = true
	for nc := range p.fresh {
		_ = nc.Close()
	}
	p.mu.Unlock()
	err := errors.Join(ignoreClosed(p.listener.Close()), ignoreClosed(p.packets.Close()))
	p.wg.Wait()
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// prefixed is a stream with its first byte put back.
type prefixed struct {
	net.Conn
	first [1]byte
	read  bool
}

// unwrap gives the stream under nc if it has no byte put back any more.
func unwrap(nc net.Conn) net.Conn {
	if p, ok := nc.(*prefixed); ok && p.read {
		return p.Conn
	}
	return nc
}

// CloseWrite half-closes the stream where that can be.
func (c *prefixed) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *prefixed) Read(b []byte) (int, error) {
	if c.read || len(b) == 0 {
		return c.Conn.Read(b)
	}
	c.read = true
	b[0] = c.first[0]
	return 1, nil
}
