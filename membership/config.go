package membership

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/meshnode/meshnode/internal/planted"
	"github.com/meshnode/meshnode/transport"
	"github.com/rs/zerolog"
)

// MaxName bounds the names of nodes and clusters, in bytes.
const MaxName = 128

// Config says who this node is and how it finds its cluster. New copies it.
type Config struct {
	// Name is the node's name, unique in the cluster: 1 to MaxName bytes of
	// printable ASCII without spaces and slashes.
	Name string
	// Cluster is the cluster's name: 1 to MaxName bytes of printable ASCII
	// without spaces. It starts every packet and stream as memberlist's label
	// (bytes 244, length, name).
	Cluster string
	// Network dials and resolves. Required.
	Network transport.Network
	// Packets is the UDP socket on the advertised port. The cluster reads it
	// from Start to Stop and ends its reads by SetReadDeadline; the caller
	// closes it afterwards. Required.
	Packets net.PacketConn
	// Advertise is the address by which others reach this node's UDP and TCP
	// port. Required; not an unspecified address.
	Advertise netip.AddrPort
	// Seeds are in the forms of ParseSeed. Without any, the node founds a
	// cluster, and others join it.
	Seeds []string
	// Known are members of an earlier run of this node, the likeliest to live
	// first; those that cannot be tried, and those beyond MaxKnown, don't count.
	// They are tried beside the seeds, and a node that has any does not found a
	// cluster: while none answers it goes on looking. New copies them.
	Known []Known
	// Profile is LAN if left out.
	Profile Profile
	// GossipKey encrypts gossip: 16, 24 or 32 bytes, or nil for none. The
	// caller must not change the bytes.
	GossipKey []byte
	// Meta is what this node tells about itself. Boot is required.
	Meta Meta
	// Protocols are the protocol versions that this node accepts from others.
	Protocols ProtocolRange
	// Identify asks the process at addr over the mesh protocol who it is.
	// When the peer refuses because of its cluster, gossip key or protocol
	// version, the error wraps ErrClusterMismatch, ErrGossipKeyMismatch or
	// ErrProtocolMismatch. It must return when ctx ends, which is bounded by
	// the profile. Required; called from several goroutines at once.
	Identify func(ctx context.Context, addr netip.AddrPort) (Identity, error)
	// Logger takes the log; the zero value drops it.
	Logger zerolog.Logger
	// OnChange is told every new snapshot, one after the other and in order,
	// on a goroutine of the Cluster and never under a lock. Snapshots that
	// follow each other within milliseconds are left out, never the last one.
	// It must not call Stop. May be nil.
	OnChange func(*Snapshot)
	// RandSeed makes the order of seeds and the jitter of retries repeatable.
	RandSeed uint64
	// Planted are faults on purpose, for tests of the simulator.
	Planted planted.Bugs
}

// Identity is who a process says it is.
type Identity struct {
	Name string
	Boot uint64
}

// ProtocolRange is a range of protocol versions, both ends included. The zero
// value stands for the node's own version alone.
type ProtocolRange struct{ Min, Max uint16 }

// validate returns nil or an ErrConfig, and fills in what may be left out.
func (cfg *Config) validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...)
	}
	if err := CheckNames(cfg.Name, cfg.Cluster); err != nil {
		return err
	}
	switch {
	case cfg.Network == nil:
		return bad("no Network")
	case cfg.Packets == nil:
		return bad("no Packets")
	case cfg.Identify == nil:
		return bad("no Identify")
	case !validAdvertise(cfg.Advertise):
		return bad("advertised address %v is not a reachable ip:port", cfg.Advertise)
	case cfg.Meta.Boot == 0:
		return bad("no boot id")
	case int(cfg.Profile) >= len(profileNames):
		return bad("unknown profile %d", cfg.Profile)
	}
	cfg.Advertise = netip.AddrPortFrom(cfg.Advertise.Addr().Unmap(), cfg.Advertise.Port())
	if cfg.GossipKey != nil {
		if err := validateKey(cfg.GossipKey); err != nil {
			return bad("%w", err)
		}
	}
	if cfg.Meta.Weight == 0 {
		cfg.Meta.Weight = 1
	}
	if cfg.Protocols == (ProtocolRange{}) {
		cfg.Protocols = ProtocolRange{Min: cfg.Meta.Protocol, Max: cfg.Meta.Protocol}
	}
	if p := cfg.Meta.Protocol; p < cfg.Protocols.Min || p > cfg.Protocols.Max {
		return bad("own protocol %d is outside %d to %d", p, cfg.Protocols.Min, cfg.Protocols.Max)
	}
	return nil
}

// CheckNames tells whether a node and a cluster may have these names: nil, or an
// ErrConfig that says what is wrong.
func CheckNames(node, cluster string) error {
	switch {
	case !validNodeName(node):
		return fmt.Errorf("%w: node name %q is not 1 to %d bytes of printable ASCII without spaces and slashes", ErrConfig, node, MaxName)
	case !validName(cluster):
		return fmt.Errorf("%w: cluster name %q is not 1 to %d bytes of printable ASCII without spaces", ErrConfig, cluster, MaxName)
	}
	return nil
}

func validAdvertise(a netip.AddrPort) bool {
	return a.IsValid() && a.Port() != 0 && !a.Addr().IsUnspecified() && !a.Addr().IsMulticast() && a.Addr().Zone() == ""
}

func validName(s string) bool {
	if len(s) == 0 || len(s) > MaxName {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// validNodeName is stricter: memberlist takes what precedes a slash in an
// address for a name.
func validNodeName(s string) bool {
	for i := range len(s) {
		if s[i] == '/' {
			return false
		}
	}
	return validName(s)
}
