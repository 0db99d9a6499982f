package membership

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// dnsPrefix marks a name each of whose addresses is a seed.
const dnsPrefix = "dns+"

// Seed is where a node finds its cluster.
type Seed struct {
	Host string // a literal IP, or a name that is resolved on every try
	Port uint16 // 1 to 65535
	// All makes every address of the name a seed of its own. Otherwise the
	// addresses are ways to one process, and one that answers is enough.
	All bool
}

// ParseSeed reads "ip:port", "[ipv6]:port", "host:port" or "dns+host:port";
// the last one makes every address of the name a seed. The error is ErrSeed
// and says in one line what is wrong.
func ParseSeed(text string) (Seed, error) {
	rest, all := strings.CutPrefix(text, dnsPrefix)
	bad := func(problem string) (Seed, error) {
		return Seed{}, fmt.Errorf("%w %q: %s", ErrSeed, text, problem)
	}
	if text == "" {
		return bad("it is empty, want host:port")
	}
	if addr, err := netip.ParseAddr(strings.Trim(rest, "[]")); err == nil && addr.Is6() && !strings.Contains(rest, "]:") {
		return bad("missing port, want [ip]:port")
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		var ae *net.AddrError
		if !strings.Contains(rest, ":") {
			return bad("missing port, want host:port")
		}
		if errors.As(err, &ae) {
			return bad(ae.Err + ", want host:port")
		}
		return bad("want host:port")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case host == "":
		return bad("missing host, want host:port")
	case port == "":
		return bad("missing port, want host:port")
	case err != nil || n == 0:
		return bad(fmt.Sprintf("port %q is not within 1 to 65535", port))
	}
	if problem := hostProblem(host, all); problem != "" {
		return bad(problem)
	}
	return Seed{Host: host, Port: uint16(n), All: all}, nil
}

func hostProblem(host string, all bool) string {
	addr, err := netip.ParseAddr(host)
	switch {
	case err == nil && all:
		return "dns+ goes before a name, not before an IP address"
	case err == nil && addr.IsUnspecified():
		return "an unspecified address is nowhere to connect to"
	case err == nil && addr.Zone() != "":
		return "an IPv6 address with a zone means another thing on every machine"
	case err == nil:
		return ""
	case len(host) > 253:
		return "the host name has more than 253 characters"
	}
	for _, r := range host {
		if r <= ' ' || r > '~' || strings.ContainsRune(`/\,;@"'%+:[]`, r) {
			return fmt.Sprintf("%q does not belong into a host name", r)
		}
	}
	return ""
}

// String gives the text that ParseSeed reads.
func (s Seed) String() string {
	hp := net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port)))
	if s.All {
		return dnsPrefix + hp
	}
	return hp
}

// target is one process to contact: the first of its addresses that answers.
type target struct {
	name  string // what to call it in errors
	addrs []netip.AddrPort
	known bool // of Config.Known
}

// resolve turns the seeds into targets, without this node's own address. A
// seed that does not resolve gives an error; one that is this node gives
// nothing.
func (c *Cluster) resolve(ctx context.Context) ([]target, SeedErrors) {
	var targets []target
	var failed SeedErrors
	seen := map[netip.AddrPort]bool{c.cfg.Advertise: true}
	for _, s := range c.seeds {
		addrs, err := c.lookup(ctx, s)
		if err != nil {
			failed = append(failed, &SeedError{Seed: s.String(), Err: err})
			continue
		}
		if !s.All && slices.Contains(addrs, c.cfg.Advertise) {
			continue // all its addresses lead to this node
		}
		fresh := slices.DeleteFunc(addrs, func(a netip.AddrPort) bool { return seen[a] })
		for _, a := range fresh {
			seen[a] = true
		}
		switch {
		case len(fresh) == 0: // this node, or a seed that is named twice
		case s.All:
			for _, a := range fresh {
				targets = append(targets, target{name: fmt.Sprintf("%v (%v)", s, a), addrs: []netip.AddrPort{a}})
			}
		default:
			targets = append(targets, target{name: s.String(), addrs: fresh})
		}
	}
	return targets, failed
}

// lookup gives the addresses of a seed, those of this node's own family first.
func (c *Cluster) lookup(ctx context.Context, s Seed) ([]netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, c.tune.contact)
	defer cancel()
	ips, err := c.cfg.Network.Resolve(ctx, s.Host)
	if err != nil {
		return nil, err
	}
	addrs := make([]netip.AddrPort, 0, len(ips))
	for _, ip := range ips {
		if ip.IsValid() {
			addrs = append(addrs, netip.AddrPortFrom(ip.Unmap().WithZone(""), s.Port))
		}
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%w %s: the name has no addresses", ErrSeed, s)
	}
	own := c.cfg.Advertise.Addr().Is4()
	slices.SortFunc(addrs, func(a, b netip.AddrPort) int {
		if fa, fb := a.Addr().Is4() == own, b.Addr().Is4() == own; fa != fb {
			if fa {
				return -1
			}
			return 1
		}
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Port(), b.Port()))
	})
	return slices.Compact(addrs), nil
}
