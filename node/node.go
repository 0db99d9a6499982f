package node

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/meshnode/meshnode/internal/budget"
	"github.com/meshnode/meshnode/internal/mprpc"
	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/router"
	"github.com/meshnode/meshnode/router/balance"
	"github.com/meshnode/meshnode/router/health"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// Protocol is the version of what nodes say to each other that is not framing:
// the built-in methods and the meaning of their fields.
const Protocol = 1

// Node is one member of the mesh. Make it with New.
type Node struct {
	cfg     Config
	log     zerolog.Logger
	boot    uint64
	started time.Time // when New made it

	life     lifecycle
	endpoint *transport.Endpoint
	port     atomic.Pointer[transport.Port]     // nil before open
	cluster  atomic.Pointer[membership.Cluster] // nil before open

	servingMu sync.Mutex
	serving   serving

	known acquaintances

	viewMu  sync.Mutex // serialises changes of view
	view    atomic.Pointer[view]
	hooks   []*ownershipHook // under viewMu
	history []TableChange    // under viewMu: the latest last

	departed departures
	handover handover

	hooksRun sync.WaitGroup // of hooks

	handlers handlers
	invoker  rpc.Invoker          // route behind the client interceptors
	calls    *gate                // calls that this process makes
	running  atomic.Pointer[gate] // handlers that run
	foreign  *mprpc.Gateway       // MessagePack-RPC clients
	bodies   bodies
	stats    stats
	methods  methods
	limiters limiters
	budget   *budget.Budget // of retries and hedges
	prover   prover
	unserved unserved
	self     *balance.Node    // this node's own load, for calls that may go to several
	health   *health.Detector // of peers, by what calls meet
	loads    atomic.Bool      // calls under way are counted by peer
	turns    atomic.Uint64    // calls to any so far
	pauses   atomic.Uint64    // waits between attempts so far: seeds their jitter
	buffers  sync.Pool        // of *[]byte to encode into

	ctx    context.Context // of what runs in the background; ended by Stop
	cancel context.CancelFunc
	tasks  sync.WaitGroup
}

// New checks cfg and gives a node that can take handlers but does nothing yet.
// The error is ErrConfig, or one of membership's or transport's, with details.
func New(cfg Config) (*Node, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg, log: cfg.Logger.With().Str("node", cfg.Name).Logger(),
		calls: newGate(), started: time.Now(), budget: budget.New(budget.Config{}),
		self: balance.NewNode(cfg.Name, cfg.Zone, cfg.Weight), health: health.New(cfg.Outliers),
	}
	n.running.Store(newGate())
	n.methods.init()
	n.boot = membership.NewBoot(time.Now(), rand.New(rand.NewPCG(cfg.RandSeed, 0)))
	table, err := router.New(nil, cfg.Table)
	if err != nil {
		return nil, err
	}
	n.turns.Store(cfg.RandSeed)
	n.view.Store(&view{
		table: table, members: &membership.Snapshot{}, peers: map[string]*peer{}, changed: make(chan struct{}),
		set: balance.NewSet(nil, cfg.Zone),
	})
	n.invoker = rpc.ChainClient(cfg.Client, n.route)
	n.life.init()
	n.prover.init()
	n.handover.init(process{cfg.Name, n.boot})
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.endpoint, err = transport.NewEndpoint(transport.Config{
		Network: cfg.Network, Name: cfg.Name, Cluster: cfg.Cluster, Boot: n.boot,
		KeyID: membership.KeyID(cfg.GossipKey), Handler: n, Logger: n.log, TLS: cfg.TLS,
		Limits: cfg.Limits.Transport, RandSeed: cfg.RandSeed,
		Silence: transport.Silence{After: max(cfg.Limits.Contact, 0), Yield: n.mayYield}, Member: n.isMember,
	})
	if err != nil {
		return nil, bad("%w", err)
	}
	n.foreign = n.newForeign()
	n.bodies.limit = n.endpoint.Limits().MaxBody
	n.registerBuiltins()
	return n, nil
}

// Register serves a method; it implements rpc.Registrar. Handlers may be added
// at any time. The error says that the name is taken.
func (n *Node) Register(h *rpc.Handler) error {
	return n.handlers.add(&handler{Handler: h, stats: n.methods.of(h.Spec.Name()), class: n.classOf(h.Spec)})
}

// Name is the node's name.
func (n *Node) Name() string { return n.cfg.Name }

// Addr is where others reach the node; zero before Start.
func (n *Node) Addr() netip.AddrPort {
	port := n.port.Load()
	if port == nil {
		return netip.AddrPort{}
	}
	addr, _ := n.cfg.advertise(port.Addr())
	return addr
}

// Table is the ownership table that the node routes by now. It is immutable.
func (n *Node) Table() *router.Table { return n.view.Load().table }

// Members are the live members that the node knows now, itself included. The
// snapshot is immutable.
func (n *Node) Members() *membership.Snapshot { return n.view.Load().members }

// Ready reports whether the node routes and serves keyed calls, and if not, why. A node that
// leaves or has stopped is not ready, whatever it still serves.
func (n *Node) Ready() (ready bool, why string) { return n.readyBy(n.view.Load()) }

// readyBy is Ready by one view.
func (n *Node) readyBy(v *view) (ready bool, why string) {
	if v.ready && !n.life.isStopping() {
		return true, ""
	}
	return false, n.why(v)
}
