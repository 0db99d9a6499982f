package transport

import (
	"context"
	"net"
	"net/netip"
)

// Network is where sockets come from: the operating system, or a simulator.
// Everything above it is the same code in production and in simulation, so
// nothing in this project opens a socket or resolves a name in another way.
//
// Implementations are safe for concurrent use. Listeners and connections
// belong to the caller, who closes them. Addresses are "host:port" with a
// literal IP, except for Resolve, which takes a host name or a literal IP.
type Network interface {
	// Listen opens a stream listener. It does not outlive its Close; ctx
	// covers the opening only.
	Listen(ctx context.Context, addr string) (net.Listener, error)
	// ListenPacket opens a datagram socket on addr.
	ListenPacket(ctx context.Context, addr string) (net.PacketConn, error)
	// Dial opens a stream to addr and gives up when ctx ends.
	Dial(ctx context.Context, addr string) (net.Conn, error)
	// Resolve gives the addresses of host in no particular order. A literal
	// IP resolves to itself.
	Resolve(ctx context.Context, host string) ([]netip.Addr, error)
}

// System is the operating system's network.
func System() Network { return systemNetwork{} }

type systemNetwork struct{}

func (systemNetwork) Listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", addr)
}

func (systemNetwork) ListenPacket(ctx context.Context, addr string) (net.PacketConn, error) {
	var lc net.ListenConfig
	return lc.ListenPacket(ctx, "udp", addr)
}

func (systemNetwork) Dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

func (systemNetwork) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	for i, a := range addrs {
		addrs[i] = a.Unmap()
	}
	return addrs, nil
}
