package sim

import (
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshnode/meshnode/internal/simhook"
	"github.com/meshnode/meshnode/internal/simnet"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/router"
)

// ErrDown tells that a node does not run.
var ErrDown = errors.New("sim: the node does not run")

// Cluster is a mesh on a simulated network. Its methods are to be called inside
// the simulation, and are safe for concurrent use there.
//
// Invariant: members never go, so that an index means the same node for ever;
// a member that is down has no node.
type Cluster struct {
	cfg    Config
	net    *simnet.Net
	tables *simhook.Tables
	begun  time.Time

	clientCount atomic.Int64
	tracer      tracer

	mu      sync.Mutex
	members []*Member
	cuts    []simnet.RuleID // of Partition
	clients []client
	ended   []remains // processes that are gone, for Leftovers

	tasks sync.WaitGroup // starts and ends of nodes
}

// Member is one node of a Cluster, over all its processes.
type Member struct {
	Index int
	Name  string
	Zone  string

	cluster *Cluster
	host    *simnet.Host

	// Under Cluster.mu:
	node       *node.Node
	process    int  // how many were started
	generation int  // of addresses
	observer   bool // owns nothing
	ready      bool
	readyAt    time.Time
	failed     error // why the last start failed
	started    chan struct{}
}

// New makes a cluster whose nodes are not started. Call it inside a simulation:
// from Test, or from Run.
func New(cfg Config) (*Cluster, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Cluster{cfg: cfg, tables: simhook.NewTables(), begun: time.Now()}
	netCfg := simnet.Config{Seed: cfg.Seed, Link: cfg.Link}
	if cfg.Trace != nil {
		c.tracer.trace = cfg.Trace
		netCfg.Trace = c.tracer.event
	}
	if cfg.Nodes >= coarseNodes {
		netCfg.Grain = coarseGrain
	}
	c.net = simnet.New(netCfg)
	for range cfg.Nodes {
		c.add()
	}
	return c, nil
}

// add makes a member that is down.
func (c *Cluster) add() *Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := len(c.members)
	m := &Member{Index: i, Name: nodeName(i), cluster: c}
	if len(c.cfg.Zones) > 0 {
		m.Zone = c.cfg.Zones[i%len(c.cfg.Zones)]
	}
	m.host = c.net.Host(m.Name, hostAddr(i, 0))
	c.members = append(c.members, m)
	if len(c.members) >= manyNodes {
		c.tables.Later()
	}
	return m
}

// Start starts all nodes, one after the other by Config.Stagger, and waits until
// all are ready. The error tells which was not, and why.
func (c *Cluster) Start(ctx context.Context) error {
	for i := range c.Len() {
		if i > 0 && c.cfg.Stagger > 0 {
			time.Sleep(c.cfg.Stagger)
		}
		if err := c.Boot(i); err != nil {
			return err
		}
	}
	for i := range c.Len() {
		if err := c.AwaitReady(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// Add adds a node, starts it, and gives its index. It does not wait for it.
func (c *Cluster) Add() (int, error) {
	m := c.add()
	return m.Index, c.Boot(m.Index)
}

// Len is how many nodes there are, those that are down included.
func (c *Cluster) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.members)
}

// Now is the virtual time since the cluster was made.
func (c *Cluster) Now() time.Duration { return time.Since(c.begun) }

// Node gives a node, nil while it is down.
func (c *Cluster) Node(i int) *node.Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.members[i].node
}

// Member gives a node's place.
func (c *Cluster) Member(i int) *Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.members[i]
}

// Boot starts a process of a node that is down; see AwaitReady.
func (c *Cluster) Boot(i int) error {
	m := c.Member(i)
	c.mu.Lock()
	if m.node != nil {
		c.mu.Unlock()
		return fmt.Errorf("sim: %s runs already", m.Name)
	}
	m.process++
	seeds := c.seedsLocked(m)
	c.mu.Unlock()
	var err error
	c.labelled(m, func(ctx context.Context) { err = c.boot(ctx, m, seeds) })
	return err
}

func (c *Cluster) boot(ctx context.Context, m *Member, seeds []string) error {
	cfg := node.Config{
		Name: m.Name, Bind: fmt.Sprintf("%s:%d", m.host.Addr(), meshPort), Seeds: seeds, Zone: m.Zone,
		Profile: c.cfg.Profile, Table: c.cfg.Table, Network: m.host.Boot(), Logger: c.cfg.Logger,
		RandSeed: c.cfg.Seed*1_000_003 + uint64(m.Index)*1009 + uint64(m.process) + 1,
		Sim:      c.hooks(m),
	}
	if c.cfg.Node != nil {
		if err := guarded("Config.Node of "+m.Name, func() { c.cfg.Node(m.Index, &cfg) }); err != nil {
			return err
		}
	}
	cfg.Server = append(cfg.Server, m.frozen)
	n, err := node.New(cfg)
	if err != nil {
		return fmt.Errorf("sim: %s: %w", m.Name, err)
	}
	if c.cfg.Setup != nil {
		if err := guarded("Config.Setup of "+m.Name, func() { c.cfg.Setup(m.Index, n) }); err != nil {
			n.Close()
			return err
		}
	}
	c.mu.Lock()
	m.observer = cfg.Observer
	m.node, m.ready, m.failed, m.started = n, false, nil, make(chan struct{})
	started := m.started
	c.mu.Unlock()
	c.tasks.Go(func() {
		defer close(started)
		err := n.Start(ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case m.node != n: // crashed or stopped meanwhile
		case err != nil:
			m.failed = err
			m.node = nil
			m.host.Kill()
			c.buryLocked(m, n)
		default:
			m.ready, m.readyAt = true, time.Now()
		}
	})
	return nil
}

// hooks are what the simulator changes in a node.
func (c *Cluster) hooks(m *Member) *simhook.Hooks {
	h := &simhook.Hooks{Tables: c.tables, Bugs: c.cfg.Inside.Bugs}
	if c.cfg.Inside.Published != nil {
		h.Published = func(old, next *router.Table) { c.cfg.Inside.Published(m.Index, old, next) }
	}
	return h
}

// seedsLocked gives the addresses that a process starts from: the first nodes but
// itself. The first process of the first node founds the cluster.
func (c *Cluster) seedsLocked(m *Member) []string {
	if m.Index == 0 && m.process == 1 {
		return nil
	}
	var seeds []string
	for _, other := range c.members {
		if len(seeds) == c.cfg.Seeds {
			break
		}
		if other != m && (other.Index == 0 || other.process > 0) {
			seeds = append(seeds, fmt.Sprintf("%s:%d", other.host.Addr(), meshPort))
		}
	}
	return seeds
}

// AwaitReady waits until a node that was booted is ready. The error is that of
// its start, of ctx, or ErrDown if it was ended meanwhile.
func (c *Cluster) AwaitReady(ctx context.Context, i int) error {
	m := c.Member(i)
	c.mu.Lock()
	started := m.started
	c.mu.Unlock()
	if started == nil {
		return fmt.Errorf("%w: %s was never started", ErrDown, m.Name)
	}
	select {
	case <-started:
	case <-ctx.Done():
		why := ""
		if n := c.Node(i); n != nil {
			_, why = n.Ready()
		}
		return fmt.Errorf("sim: %s is not ready (%s): %w", m.Name, why, ctx.Err())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case m.failed != nil:
		return fmt.Errorf("sim: %s: %w", m.Name, m.failed)
	case !m.ready:
		return fmt.Errorf("%w: %s", ErrDown, m.Name)
	}
	return nil
}

// Close ends all nodes and clients, at once, and waits for them.
func (c *Cluster) Close() {
	c.mu.Lock()
	clients := c.clients
	c.clients = nil
	c.mu.Unlock()
	for _, cl := range clients {
		cl.close()
	}
	for i := range c.Len() {
		c.Crash(i)
	}
	c.tasks.Wait()
}

// id tells this cluster's goroutines from those of others in the same program.
func (c *Cluster) id() string { return fmt.Sprintf("%p/", c) }

// labelled runs f with a label that the goroutines which it starts inherit.
func (c *Cluster) labelled(m *Member, f func(context.Context)) {
	pprof.Do(context.Background(), pprof.Labels(processLabel, c.id()+m.label()), f)
}
