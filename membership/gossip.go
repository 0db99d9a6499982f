package membership

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/meshnode/meshnode/transport"
	"github.com/rs/zerolog"
)

const (
	maxPacket     = 64 << 10 // largest datagram
	packetBacklog = 256      // packets read and not yet taken by memberlist
	readRetry     = 20 * time.Millisecond
	packetLogging = 10 * time.Second // between two lines about one kind of bad packet
)

// gossip is memberlist's transport on the shared port: packets by the UDP
// socket, streams as the port hands them over and as Network dials them.
type gossip struct {
	network   transport.Network
	packets   net.PacketConn
	advertise netip.AddrPort
	cluster   string
	log       zerolog.Logger
	quiet     throttle

	repeats  *repeats // nil where packets are encrypted
	packetCh chan *memberlist.Packet
	streamCh chan net.Conn
	conns    connSet
	others   *transport.Strangers // streams that others have opened
	ctx      context.Context      // ends in Shutdown
	cancel   context.CancelFunc
	reader   sync.WaitGroup
}

var _ memberlist.NodeAwareTransport = (*gossip)(nil)

// newGossip returns a transport that begin makes read packets. member reports whether an
// address is a member's. Shutdown must be called.
func newGossip(ctx context.Context, cfg *Config, member func(netip.Addr) bool) *gossip {
	g := &gossip{
		network: cfg.Network, packets: cfg.Packets, advertise: cfg.Advertise, cluster: cfg.Cluster, log: cfg.Logger,
		quiet:    throttle{period: packetLogging},
		packetCh: make(chan *memberlist.Packet, packetBacklog),
		streamCh: make(chan net.Conn),
		others:   transport.NewStrangers(maxStreams, member),
	}
	g.conns.crowded = func(err error) {
		if g.quiet.allow("crowd", time.Now()) {
			g.log.Warn().Err(err).Msg("strangers crowd the port with gossip: those silent for longest make room")
		}
	}
	if cfg.GossipKey == nil {
		g.repeats = newRepeats()
	}
	g.ctx, g.cancel = context.WithCancel(ctx)
	return g
}

// begin starts to read packets, once memberlist knows its own state: it would
// take what others still say of a former life of this node for that.
func (g *gossip) begin() { g.reader.Go(g.readPackets) }

// FinalAdvertiseAddr implements memberlist.Transport.
func (g *gossip) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return g.advertise.Addr().AsSlice(), int(g.advertise.Port()), nil
}

// WriteTo implements memberlist.Transport.
func (g *gossip) WriteTo(b []byte, addr string) (time.Time, error) {
	return g.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress sends a packet. Its errors are *net.OpError of a UDP write:
// of these memberlist knows that the peer may be at fault, and goes on to
// suspect it; after any other error it would skip the probe, and a member that
// nothing can be sent to would stay alive for ever.
func (g *gossip) WriteToAddress(b []byte, addr memberlist.Address) (time.Time, error) {
	to, err := netip.ParseAddrPort(addr.Addr)
	if err == nil {
		_, err = g.packets.WriteTo(b, net.UDPAddrFromAddrPort(to))
	}
	now := time.Now()
	if err == nil {
		return now, nil
	}
	if op, ok := err.(*net.OpError); ok && op.Op == "write" {
		return now, op
	}
	return now, &net.OpError{Op: "write", Net: "udp", Err: err}
}

// PacketCh implements memberlist.Transport.
func (g *gossip) PacketCh() <-chan *memberlist.Packet { return g.packetCh }

// StreamCh implements memberlist.Transport.
func (g *gossip) StreamCh() <-chan net.Conn { return g.streamCh }

// DialTimeout implements memberlist.Transport.
func (g *gossip) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return g.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout opens a stream that is closed by Shutdown at the latest.
func (g *gossip) DialAddressTimeout(addr memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(g.ctx, timeout)
	defer cancel()
	return g.dial(ctx, addr.Addr)
}

// dial opens a stream with the deadline of ctx.
func (g *gossip) dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := g.network.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	return g.conns.add(conn, nil)
}

// accept hands a stream over to memberlist, which closes it. It waits only
// for memberlist to take it.
func (g *gossip) accept(conn net.Conn) {
	tracked, err := g.conns.add(conn, g.others.Admit(conn))
	if err != nil {
		return // it came too late
	}
	select {
	case g.streamCh <- tracked:
	case <-g.ctx.Done():
		_ = tracked.Close()
	}
}

// Shutdown ends everything that memberlist could wait for. The packet socket
// stays open and without a deadline.
func (g *gossip) Shutdown() error {
	g.cancel()
	g.conns.close()
	// A deadline in the past ends the read that is under way.
	err := g.packets.SetReadDeadline(time.Unix(1, 0))
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	g.reader.Wait()
	_ = g.packets.SetReadDeadline(time.Time{})
	return err
}

func (g *gossip) readPackets() {
	buf := make([]byte, maxPacket)
	for g.ctx.Err() == nil {
		n, from, err := g.packets.ReadFrom(buf)
		now := time.Now()
		switch {
		case g.ctx.Err() != nil:
			return
		case errors.Is(err, net.ErrClosed):
			g.log.Error().Msg("the packet socket was closed under gossip: this node will be taken for dead")
			return
		case err != nil:
			if g.quiet.allow("read", now) {
				g.log.Warn().Err(err).Msg("cannot read gossip packets")
			}
			sleep(g.ctx, readRetry)
		case g.belongs(buf[:n], from, now):
			g.handOn(buf[:n], from, now)
		}
	}
}

// handOn gives a packet to memberlist, without what it knows already. The bytes
// stay the caller's.
func (g *gossip) handOn(b []byte, from net.Addr, now time.Time) {
	if g.repeats != nil {
		if b = g.repeats.strip(b, now); b == nil {
			return
		}
	}
	select {
	case g.packetCh <- &memberlist.Packet{Buf: append([]byte(nil), b...), From: from, Timestamp: now}:
	case <-g.ctx.Done():
	}
}

// newsChanged says that somebody died, left or contested a name, after which old
// news may matter again.
func (g *gossip) newsChanged() {
	if g.repeats != nil {
		g.repeats.forget()
	}
}

// belongs tells whether a packet carries this cluster's label.
func (g *gossip) belongs(packet []byte, from net.Addr, now time.Time) bool {
	_, label, err := memberlist.RemoveLabelHeaderFromPacket(packet)
	if err == nil && label == g.cluster {
		return true
	}
	key := "packet"
	if label != "" {
		key = "cluster"
	}
	if g.quiet.allow(key, now) {
		g.log.Warn().Stringer("peer", from).Str("their_cluster", label).
			Msg("dropped a packet that is not gossip of this cluster")
	}
	return false
}

// sleep waits for d or until ctx ends, and tells whether it waited in full.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
