package node

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/meshnode/meshnode/internal/simhook"
	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/router"
	"github.com/meshnode/meshnode/router/health"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// Defaults of Config.
const (
	DefaultCluster      = "meshnode"
	DefaultBind         = "127.0.0.1:0"
	DefaultCallTimeout  = 5 * time.Second
	DefaultDrainTimeout = 10 * time.Second
)

// ErrConfig tells of a Config that New cannot use; the message says which
// field and how to mend it.
var ErrConfig = errors.New("node: bad configuration")

// Config says who a node is and whom it joins. The zero value is a node on a
// free loopback port, named after the host, that joins nobody.
type Config struct {
	// Name is unique in the cluster: 1 to 128 printable ASCII characters
	// without spaces. Empty: the host's name.
	Name string
	// Cluster keeps clusters apart that can reach each other. Empty:
	// DefaultCluster.
	Cluster string
	// Bind is the "ip:port" to listen on, TCP and UDP, or "host:port" with a name of this host;
	// port 0 takes any.
	// Empty: DefaultBind.
	Bind string
	// Advertise is the "ip:port" where others reach this node. Empty: the
	// bound address or, when that is 0.0.0.0 or ::, the first address of this
	// host that is not loopback.
	Advertise string
	// Seeds are members to join by: "ip:port", "host:port", or
	// "dns+host:port" for every address of a name. Empty: others join us.
	Seeds []string
	// Remember keeps the peers of this node for its next start. A node that knew
	// peers joins by them as by seeds, tried beside these, and does not found a
	// cluster while none of them answers. Nil: nothing is kept.
	Remember Memory
	// Expect is how many members, this one included, must be seen before the
	// node is ready. 0 means 1.
	Expect int
	// Observer makes a node that routes calls and follows the members, but owns
	// no keys and serves no calls to rpc.Any: for gateways and load generators.
	Observer bool
	// Zone names what fails together. May be empty.
	Zone string
	// Weight is this node's share relative to others, 0.1 to 100. 0 means 1.
	Weight float64
	// Profile tunes failure detection to the network. Zero: LAN.
	Profile membership.Profile
	// GossipKey encrypts gossip: 16, 24 or 32 bytes, the same on all
	// members. Empty: no encryption.
	GossipKey []byte
	// TLS makes every stream of the mesh and of gossip TLS, with certificates
	// on both sides; this node's must bear its name. All members use it, or
	// none. UDP gossip stays under GossipKey. Nil: plain streams.
	TLS *transport.TLS
	// InsecureGossip allows TLS without a GossipKey.
	InsecureGossip bool
	// Table are the parameters of the ownership table, the same on all
	// members.
	Table router.Params
	// NoMsgpackRPC refuses plain MessagePack-RPC clients, who may otherwise
	// call every method of the mesh through this node's port.
	NoMsgpackRPC bool
	// Calls is how this node's calls are made where their methods say nothing.
	Calls rpc.CallPolicy
	// Admission limits the calls that are served at a time.
	Admission Admission
	// Outliers says when peers that answer badly are left out of calls to any
	// node.
	Outliers health.Config
	// Limits bound what peers can do to this node.
	Limits Limits
	// Client and Server interceptors, the first outermost.
	Client []rpc.ClientInterceptor
	Server []rpc.ServerInterceptor
	// Network is where sockets come from. Nil: the operating system.
	Network transport.Network
	// Logger takes what the node has to say. Zero: nothing is logged.
	Logger zerolog.Logger
	// RandSeed seeds everything random in the node. 0: seeded by the start.
	RandSeed uint64
	// Sim is what the simulator of this module changes; others leave it nil.
	Sim *simhook.Hooks
}

// Limits bound time and memory. Zero fields mean the defaults.
type Limits struct {
	DrainTimeout time.Duration // how long Stop and Run let a leaving node finish; default 10 s
	// Contact is how long a node that does not answer counts as slow; beyond it
	// another owner of a key is asked, and takes it for gone if it finds it
	// silent as long. Default 50 ms with the profiles LAN and Local, 500 ms with
	// WAN. Negative: no other owner is ever asked.
	Contact time.Duration
	// Transport bounds what peers can cost: sizes, calls in flight, windows,
	// timeouts. Its defaults are those of package transport.
	Transport transport.Limits
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrConfig, fmt.Errorf(format, args...))
}

// withDefaults fills in what is empty and checks what this package alone can.
func (c Config) withDefaults() (Config, error) {
	if c.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			return c, bad("no name given and the host has none: %w", err)
		}
		c.Name = host
	}
	if strings.Contains(c.Name, "/") {
		return c, bad("node name %q; want printable ASCII without spaces and slashes", c.Name)
	}
	if c.Cluster == "" {
		c.Cluster = DefaultCluster
	}
	if c.Bind == "" {
		c.Bind = DefaultBind
	}
	if c.Network == nil {
		c.Network = transport.System()
	}
	if c.Weight == 0 {
		c.Weight = 1
	}
	// The table keeps thousandths; what is gossiped must say the same.
	c.Weight = math.Round(c.Weight*1000) / 1000
	if !(c.Weight >= router.MinWeight && c.Weight <= router.MaxWeight) {
		return c, bad("weight %v; want %v to %v", c.Weight, router.MinWeight, router.MaxWeight)
	}
	if c.TLS != nil && len(c.GossipKey) == 0 && !c.InsecureGossip {
		return c, bad("TLS without a gossip key, which leaves gossip over UDP open to anyone; " +
			"set GossipKey (--gossip-key), or InsecureGossip (--insecure-gossip) if that is meant")
	}
	if c.Expect < 0 {
		return c, bad("expect %d members; want 0 or more", c.Expect)
	}
	c.Calls = c.Calls.Or(defaultPolicy())
	if c.Limits.DrainTimeout <= 0 {
		c.Limits.DrainTimeout = DefaultDrainTimeout
	}
	if c.Limits.Contact == 0 {
		c.Limits.Contact = defaultContact(c.Profile)
	}
	if c.RandSeed == 0 {
		c.RandSeed = uint64(time.Now().UnixNano())
	}
	if err := c.Table.Validate(); err != nil {
		return c, bad("%w", err)
	}
	c.Table = c.Table.WithDefaults()
	if c.Advertise != "" {
		if _, err := parseAdvertise(c.Advertise); err != nil {
			return c, err
		}
	}
	return c, nil
}

// defaultContact allows for a round trip or two on a busy network.
func defaultContact(p membership.Profile) time.Duration {
	if p == membership.WAN {
		return 500 * time.Millisecond
	}
	return 50 * time.Millisecond
}

func parseAdvertise(text string) (netip.AddrPort, error) {
	addr, err := netip.ParseAddrPort(text)
	if err != nil || addr.Addr().IsUnspecified() {
		return netip.AddrPort{}, bad("advertise address %q; want ip:port that others can reach, such as 10.0.0.1:7101", text)
	}
	return addr, nil
}

// advertise gives the address to tell others, given the one that is bound.
func (c *Config) advertise(bound netip.AddrPort) (netip.AddrPort, error) {
	if c.Advertise != "" {
		addr, err := parseAdvertise(c.Advertise)
		if err == nil && addr.Port() == 0 {
			addr = netip.AddrPortFrom(addr.Addr(), bound.Port())
		}
		return addr, err
	}
	if !bound.Addr().IsUnspecified() {
		return bound, nil
	}
	ip, err := hostAddr()
	if err != nil {
		return netip.AddrPort{}, bad("bound to %s and no advertise address given: %w", bound, err)
	}
	return netip.AddrPortFrom(ip, bound.Port()), nil
}

// hostAddr gives an address of this host that others may reach: the first
// that is neither loopback nor link-local, IPv4 before IPv6.
func hostAddr() (netip.Addr, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, err
	}
	var found netip.Addr
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil || !prefix.Addr().IsGlobalUnicast() {
			continue
		}
		if ip := prefix.Addr().Unmap(); ip.Is4() {
			return ip, nil
		} else if !found.IsValid() {
			found = ip
		}
	}
	if !found.IsValid() {
		return found, errors.New("this host has no address but loopback")
	}
	return found, nil
}
