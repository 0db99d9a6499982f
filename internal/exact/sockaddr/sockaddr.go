package sockaddr

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// The errors of this package.
var (
	ErrAddress = errors.New("sockaddr: not an IP address")
	ErrRFC     = errors.New("sockaddr: no addresses known of this RFC")
)

// SockAddr is an address of any kind; here all are IPAddr.
type SockAddr interface {
	// String gives the text of the address.
	String() string
}

// IPAddr is an IPv4 or IPv6 address. An IPv4 address in IPv6 form is kept as
// IPv4.
type IPAddr struct{ addr netip.Addr }

// String gives the address as NewIPAddr reads it.
func (a IPAddr) String() string { return a.addr.String() }

// NewIPAddr reads an IP address.
func NewIPAddr(text string) (IPAddr, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return IPAddr{}, fmt.Errorf("%w: %q", ErrAddress, text)
	}
	return IPAddr{addr.Unmap()}, nil
}

// IfAddr is an address of a network interface.
type IfAddr struct {
	SockAddr SockAddr
}

// IfAddrs are addresses of network interfaces.
type IfAddrs []IfAddr

// IfByRFC sorts addrs into those of the blocks that an RFC names and the
// others, each in the order of addrs. RFC "6890", of addresses for special
// purposes, is the only one known; its complement are public addresses.
func IfByRFC(rfc string, addrs IfAddrs) (matched, remainder IfAddrs, err error) {
	if rfc != "6890" {
		return nil, nil, fmt.Errorf("%w: %q", ErrRFC, rfc)
	}
	for _, a := range addrs {
		if ip, ok := a.SockAddr.(IPAddr); ok && special(ip.addr) {
			matched = append(matched, a)
		} else {
			remainder = append(remainder, a)
		}
	}
	return matched, remainder, nil
}

// GetPrivateIP gives the first IPv4 address of this host that is private
// (RFC 1918), or "" if it has none.
func GetPrivateIP() (string, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		if ip := prefix.Addr().Unmap(); ip.Is4() && ip.IsPrivate() {
			return ip.String(), nil
		}
	}
	return "", nil
}
