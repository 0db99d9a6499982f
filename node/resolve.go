package node

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/meshnode/meshnode/transport"
)

// resolve turns "host:port" into "ip:port".
func resolve(ctx context.Context, network transport.Network, addr string) (string, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("address %q: want host:port, such as 127.0.0.1:7101", addr)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return "", fmt.Errorf("address %q: port %q; want a number from 1 to 65535", addr, portText)
	}
	ips, err := network.Resolve(ctx, host)
	if err != nil {
		return "", fmt.Errorf("address %q: %w", addr, err)
	}
	if len(ips) == 0 {
		return "", fmt.Errorf("address %q: the name has no address", addr)
	}
	return netip.AddrPortFrom(ips[0], uint16(port)).String(), nil
}
