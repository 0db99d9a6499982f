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

	fresh *Strangers // those that have not said what they are, or shake hands

	mu     sync.Mutex
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
	return &Port{listener: ln, packets: pc, addr: bound, fresh: NewStrangers(maxStrangers, nil)}, nil
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
	// Member reports whether an address is a member's: a flood from others cannot
	// keep it out. It must not block. May be nil.
	Member func(netip.Addr) bool
	// Refused is told of each stream that was closed. May be nil.
	Refused func(Refusal)
}

// Refusal is a stream that a port did not hand over.
type Refusal struct {
	Remote net.Addr
	Kind   StreamKind // what it seemed to be; StreamUnknown also for silence
	// Err says why: ErrSaidNothing, ErrNotTaken, ErrForeign, ErrCrowded, those of TLS.
	Err error
}

var (
	// ErrSaidNothing: the stream ended, or took too long, before its first byte.
	ErrSaidNothing = errors.New("transport: a stream that said nothing")
	// ErrNotTaken: streams of that kind are not taken here.
	ErrNotTaken = errors.New("transport: streams of this kind are not taken here")
)

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
)

// Serve accepts streams until Close and gives each to the handler of its kind.
// It returns nil after Close, else the listener's error.
func (p *Port) Serve(h StreamHandlers) error {
	p.fresh.setMember(h.Member)
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
		p.take(nc, &h)
	}
}

// refused counts and tells of a stream that is not taken.
func (h *StreamHandlers) refused(nc net.Conn, k StreamKind, why error) {
	if h.TLS != nil && !errors.Is(why, ErrSaidNothing) && !errors.Is(why, ErrCrowded) && why != ErrClosed {
		h.TLS.count(TLSHandshakesFailed)
	}
	if h.Refused != nil {
		h.Refused(Refusal{nc.RemoteAddr(), k, why})
	}
}

// take finds out, on another goroutine, what a stream is.
func (p *Port) take(nc net.Conn, h *StreamHandlers) {
	var stranger *Stranger
	p.mu.Lock()
	if !p.closed {
		p.wg.Add(1)
		stranger = p.fresh.Admit(nc) // not nil before Close, which takes mu
	}
	p.mu.Unlock()
	if stranger == nil {
		_ = nc.Close()
		h.refused(nc, StreamUnknown, ErrClosed)
		return
	}
	go p.sort(nc, stranger, h)
}

// sort finds out what a fresh stream is and hands it over. Those who are told
// why they are refused count as fresh until then.
func (p *Port) sort(nc net.Conn, stranger *Stranger, h *StreamHandlers) {
	defer p.wg.Done()
	stream, kind, err := h.tell(nc, stranger)
	take := h.taker(kind)
	if err == nil && take == nil {
		err = ErrNotTaken
	}
	if err == nil {
		err = stranger.Leave()
	}
	if err == nil {
		take(stream)
		return
	}
	if crowded := stranger.Displaced(); crowded != nil {
		err = crowded
	}
	h.refused(nc, kind, err)
	explain(stream, kind, err, h.TLS != nil)
	_ = stranger.Leave()
	_ = nc.Close()
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
	p.fresh.Close()
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
	first    [1]byte
	read     bool
	stranger *Stranger // who shows signs of life by what is read; nil: no stranger any more
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
		n, err := c.Conn.Read(b)
		if c.stranger != nil && n > 0 {
			c.stranger.Heard()
		}
		return n, err
	}
	c.read = true
	b[0] = c.first[0]
	return 1, nil
}
