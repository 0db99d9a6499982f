package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/outbox"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

const runLong = `Runs one node until it is told to stop.

The node listens on one port number, in TCP and UDP, for the mesh, the gossip and
the commands of this program. Without --join it waits for others to join it; with
it, it looks for its seeds until one answers. It is ready, and says so in its log,
once it has found a seed and sees as many members as --expect says.

SIGINT and SIGTERM make it leave gracefully: the others route past it before it
stops, and no call is lost. A second signal ends it at once, with status 130.

With --tls-cert, --tls-key and --tls-ca all streams are TLS, and whoever has no
certificate of that CA is refused. The certificate must bear the node's name. New
files are noticed within a second; connections that are open stay.

With --data-dir the node keeps its name, its cluster and the peers it knew in a
directory of its own. Started again it needs no --join: it tries those peers, and
while none of them answers it goes on looking rather than begin a second cluster. If
they are gone for good, remove peers.json from the directory. Another --name or
--cluster in the same directory is refused, and so is a second process. The directory
is the node's outbox as well: it takes durable calls ('meshnode call --durable'), and
says at the start what it recovered. Start the first nodes with --expect, so that they
know each other before they decide who holds which keys.

A name can be given to one live process at a time: a second one is refused when
it starts. A process that crashed may come back with its name.`

const runExample = `  meshnode run --name a
  meshnode run --name b --bind 127.0.0.1:7102 --join 127.0.0.1:7101
  meshnode run --bind 0.0.0.0:7101 --join dns+mesh.internal:7101 --expect 3 --gossip-key @gossip.key
  meshnode run --name a --gossip-key @gossip.key --tls-ca ca.crt --tls-cert a.crt --tls-key a.key
  meshnode run --name a --bind 127.0.0.1:7101 --join 127.0.0.1:7102 --data-dir /var/lib/meshnode/a
  MESHNODE_NAME=c MESHNODE_BIND=127.0.0.1:7103 MESHNODE_JOIN=127.0.0.1:7101,127.0.0.1:7102 meshnode run`

// runFlags are the flags of run that need work before they are a node.Config.
type runFlags struct {
	node      node.Config
	advertise string
	gossipKey string
	dataDir   string

	orphansAfter time.Duration
	clustered    bool // --cluster was given
	tls          tlsFlags
	log          logFlags
}

func newRun(a *app) *cobra.Command {
	f := &runFlags{}
	cmd := &cobra.Command{
		Use:     "run",
		Short:   "Run one node",
		Long:    runLong,
		Example: runExample,
		Args:    noArgs,
		RunE: action(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			f.clustered = cmd.Flags().Changed("cluster")
			return a.runNode(ctx, f)
		}),
	}
	c, flags := &f.node, cmd.Flags()
	flags.StringVarP(&c.Name, "name", "n", "", "`name` of the node, unique in its cluster; without it, that of --data-dir, else the host's name")
	flagOf(cmd, &c.Bind, "bind", "b", defaultAddr, "listen on `ip:port`, in TCP and UDP, or on a name of this host; port 0 takes a free one", parseBind)
	flagOf(cmd, &f.advertise, "advertise", "", "",
		"`host:port` where others reach this node; without it, the bound address or, if that is 0.0.0.0, this host's first one", parseHostPort)
	flags.VarP(&list{items: &c.Seeds, check: checkSeed, commas: true}, "join", "j",
		"join by the member at `host:port`, or by all that dns+host:port stands for; several with commas, or the flag again")
	flags.StringVarP(&c.Cluster, "cluster", "c", node.DefaultCluster, "`name` of the cluster; others are refused")
	flags.StringVarP(&f.dataDir, "data-dir", "d", "", "keep the node's identity, the peers it knew and durable calls in this `directory`, for its next start")
	flagOf(cmd, &f.orphansAfter, "orphans-after", "", "0s",
		"serve durable calls of keys whose holder is gone after this `time`, without what it alone knew; 0 waits for it", parseWait)
	flags.StringVar(&f.gossipKey, "gossip-key", "", "encrypt gossip with this `key`: base64 as keygen prints it, or @file")
	f.tls.add(cmd)
	flags.BoolVar(&c.InsecureGossip, "insecure-gossip", false, "allow TLS without --gossip-key, though anyone can gossip then")
	flags.StringVarP(&c.Zone, "zone", "z", "", "`name` of what fails together with this node, such as a rack; replicas go to others")
	flagOf(cmd, &c.Weight, "weight", "w", "1", "this node's share of the keys relative to others, as a `number` from 0.1 to 100", parseWeight)
	profileFlag(cmd, &c.Profile)
	flagOf(cmd, &c.Expect, "expect", "e", "1", "be ready only when `n` members are seen, this one included",
		parseCount(1, 1<<16))
	flags.BoolVar(&c.Observer, "observer", false, "route calls and follow the members, but own no keys")
	flags.BoolVar(&c.Admission.Adaptive, "adaptive-admission", false, "refuse calls early beyond what the node can serve at a time, which it finds out by itself")
	flags.BoolVar(&c.NoMsgpackRPC, "no-msgpack-rpc", false, "refuse plain MessagePack-RPC clients on the node's port")
	f.log.add(cmd)
	return cmd
}

func profileFlag(cmd *cobra.Command, to *membership.Profile) {
	choices := []string{membership.LAN.String(), membership.WAN.String(), membership.Local.String()}
	parse := func(text string) (membership.Profile, error) {
		p, err := membership.ParseProfile(text)
		if err != nil {
			return p, wantOneOf(choices)
		}
		return p, nil
	}
	flagOf(cmd, to, "profile", "", choices[0], "timing of failure detection, by the `kind` of network: lan, wan or local (one machine)", parse)
	completeChoices(cmd, "profile", choices)
}

func (a *app) runNode(ctx context.Context, f *runFlags) error {
	cfg, err := a.nodeConfig(ctx, f)
	if err != nil {
		return err
	}
	err = a.runConfig(ctx, f, cfg)
	var usage *usageError
	if err != nil && f.log.json(a.stderr) && !errors.As(err, &usage) {
		cfg.Logger.Error().Err(err).Msg("the node ended")
		return &failure{err: err, logged: true}
	}
	return err
}

// runConfig runs the node, with its data directory open for as long.
func (a *app) runConfig(ctx context.Context, f *runFlags, cfg node.Config) (err error) {
	if f.dataDir != "" {
		dir, openErr := openDataDir(f.dataDir, &cfg, f.clustered)
		if openErr != nil {
			return openErr
		}
		defer func() { err = errors.Join(err, dir.Close()) }()
	}
	n, err := node.New(cfg)
	if err != nil {
		return badConfig(err)
	}
	if f.dataDir != "" {
		box, openErr := f.openBox(n, cfg.Logger)
		if openErr != nil {
			n.Close()
			return openErr
		}
		defer func() { err = errors.Join(err, box.Close()) }()
	}
	return badConfig(n.Run(ctx))
}

// openBox gives a node the outbox in its data directory.
func (f *runFlags) openBox(n *node.Node, logger zerolog.Logger) (*outbox.Box, error) {
	box, err := outbox.Open(filepath.Join(f.dataDir, outboxDir), outbox.Config{
		Logger: logger, Orphans: outbox.Orphans{ServeAfter: f.orphansAfter},
	})
	if err != nil {
		return nil, err
	}
	if err := box.Start(n); err != nil {
		return nil, errors.Join(err, box.Close())
	}
	return box, nil
}

// nodeConfig finishes what the flags say.
func (a *app) nodeConfig(ctx context.Context, f *runFlags) (node.Config, error) {
	cfg := f.node
	cfg.Logger = f.log.logger(a.stderr)
	var err error
	if cfg.GossipKey, err = a.gossipKey(f.gossipKey); err != nil {
		return cfg, err
	}
	if cfg.TLS, err = f.tls.load(cfg.Logger); err != nil {
		return cfg, err
	}
	if f.advertise != "" {
		if cfg.Advertise, err = resolveAddr(ctx, f.advertise); err != nil {
			return cfg, err
		}
	}
	return cfg, nil
}

// badConfig makes what New or Run say of a Config an error of usage. nil stays
// nil.
func badConfig(err error) error {
	for _, known := range []error{node.ErrConfig, membership.ErrConfig, membership.ErrMetaTooLarge} {
		if errors.Is(err, known) {
			return usagef("%w", err)
		}
	}
	return err
}

// gossipKey reads --gossip-key; the key itself is never shown.
func (a *app) gossipKey(arg string) ([]byte, error) {
	if arg == "" {
		return nil, nil
	}
	if !strings.HasPrefix(arg, "@") && arg != "-" {
		arg = strings.TrimSpace(arg)
	}
	text, err := a.load(arg)
	if err != nil {
		return nil, fmt.Errorf("--gossip-key: %w", err)
	}
	key, err := membership.ParseKey(string(text))
	if err != nil {
		return nil, usagef("--gossip-key: %w; 'meshnode keygen' makes one", err)
	}
	return key, nil
}

// resolveAddr turns "host:port" into "ip:port", IPv4 before IPv6.
func resolveAddr(ctx context.Context, addr string) (string, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return "", err
	}
	ips, err := transport.System().Resolve(ctx, host)
	if err != nil {
		return "", failf(rpc.Unavailable, "--advertise %s: %w", addr, err)
	}
	if len(ips) == 0 {
		return "", failf(rpc.NotFound, "--advertise %s: the name has no address", addr)
	}
	first := slices.IndexFunc(ips, netip.Addr.Is4)
	return netip.AddrPortFrom(ips[max(first, 0)], uint16(port)).String(), nil
}
