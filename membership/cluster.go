package membership

import (
	"context"
	"fmt"
	"log"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"
)

// Cluster is this process's part in a cluster. It goes from new by Start to
// running and by Stop to stopped, once. Its methods are safe for concurrent
// use.
type Cluster struct {
	cfg       Config
	tune      tuning
	seeds     []Seed
	known     []Known // those of Config that can be tried
	log       zerolog.Logger
	lines     *logWriter
	quiet     throttle
	own       ownMeta
	roster    *roster
	snap      atomic.Pointer[Snapshot]
	gossip    atomic.Pointer[gossip] // nil before Start; callbacks of memberlist may not wait for mu
	publish   publisher
	conflicts conflicts
	join      joiner
	failed    chan error

	suspicions chan suspicion

	ctx    context.Context // from New to Stop
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu   sync.Mutex
	life lifecycle
}

// lifecycle is what changes when a Cluster starts, leaves and stops.
type lifecycle struct {
	phase   phase
	gossip  *gossip
	list    *memberlist.Memberlist
	leaving chan struct{} // nil before Leave; closed when its message is out
	leftErr error         // of Leave, once leaving is closed
	stopped chan struct{} // closed when Stop is done
}

type phase uint8

const (
	phaseNew phase = iota
	phaseRunning
	phaseStopped // or about to be
)

// quietPeriod is how long one kind of event is kept out of the log after it
// was in it.
const quietPeriod = 10 * time.Second

// New checks the configuration and gives a Cluster that does nothing yet. The
// caller must Stop it if Start succeeds. Errors: ErrConfig, ErrSeed, ErrKey,
// ErrBadMeta, ErrMetaTooLarge with the sizes.
func New(cfg Config) (*Cluster, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := &Cluster{
		cfg: cfg, tune: cfg.Profile.tuning(), log: cfg.Logger, lines: newLogWriter(cfg.Logger),
		quiet:     throttle{period: quietPeriod},
		roster:    newRoster(),
		publish:   newPublisher(),
		conflicts: conflicts{ch: make(chan conflict, conflictBacklog)},
		join:      joiner{wake: make(chan struct{}, 1)},
		failed:    make(chan error, 1),

		suspicions: make(chan suspicion, suspicionBacklog),
		life:       lifecycle{stopped: make(chan struct{})},
	}
	for _, text := range cfg.Seeds {
		seed, err := ParseSeed(text)
		if err != nil {
			return nil, err
		}
		c.seeds = append(c.seeds, seed)
	}
	c.known = usableKnown(&cfg)
	if err := c.own.init(cfg.Meta); err != nil {
		return nil, err
	}
	c.snap.Store(&Snapshot{Self: cfg.Name})
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// Start begins to gossip, alone. The first snapshot holds this node and is
// there when Start returns. Errors: ErrNotRunning if it was started or stopped
// before.
func (c *Cluster) Start() error {
	if err := c.start(); err != nil {
		return err
	}
	return c.flush(c.ctx)
}

func (c *Cluster) start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.phase != phaseNew {
		return fmt.Errorf("%w: Start after Start or Stop", ErrNotRunning)
	}
	conf := c.tune.config()
	conf.Name, conf.Label, conf.SecretKey = c.cfg.Name, c.cfg.Cluster, c.cfg.GossipKey
	conf.BindAddr, conf.BindPort = c.cfg.Advertise.Addr().String(), int(c.cfg.Advertise.Port())
	conf.AdvertiseAddr, conf.AdvertisePort = conf.BindAddr, conf.BindPort
	conf.Logger = log.New(c.lines, "", 0)
	d := delegate{c}
	conf.Delegate, conf.Events, conf.Alive, conf.Merge, conf.Conflict = d, d, d, d, d
	g := newGossip(c.ctx, &c.cfg, c.roster.livesAt)
	conf.Transport = g
	c.gossip.Store(g)
	list, err := memberlist.Create(conf)
	if err != nil {
		_ = g.Shutdown()
		return fmt.Errorf("membership: start gossip: %w", err)
	}
	g.begin()
	c.life.phase, c.life.gossip, c.life.list = phaseRunning, g, list
	c.tasks.Go(c.publishLoop)
	c.tasks.Go(c.conflictLoop)
	c.tasks.Go(c.seekLoop)
	c.tasks.Go(c.suspectLoop)
	return nil
}

// running gives what a running Cluster works with, or ErrNotRunning.
func (c *Cluster) running() (*gossip, *memberlist.Memberlist, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.phase != phaseRunning {
		return nil, nil, ErrNotRunning
	}
	return c.life.gossip, c.life.list, nil
}

// ServeStream takes over an inbound stream that starts with the label byte
// 244, none of which has been read. It returns at once and closes the stream
// when it is served, or right away if the Cluster does not run.
func (c *Cluster) ServeStream(conn net.Conn) {
	g, _, err := c.running()
	if err != nil {
		_ = conn.Close()
		return
	}
	g.accept(conn)
}

// Leave tells the others that this node leaves and waits until the message is
// out, at most 2 s (Local), 5 s (LAN) or 10 s (WAN). The node goes on to
// answer, and still follows the others, until Stop; its own snapshots no longer
// hold it. It cannot come back. Errors: ErrNotRunning, ErrLeaveUnconfirmed, or
// that of ctx, after which the message still goes out.
func (c *Cluster) Leave(ctx context.Context) error {
	timeout := c.tune.leave
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(min(timeout, time.Until(deadline)), time.Millisecond)
	}
	c.mu.Lock()
	if c.life.phase != phaseRunning {
		c.mu.Unlock()
		return ErrNotRunning
	}
	left := c.life.leaving
	if left == nil {
		left = make(chan struct{})
		c.life.leaving = left
		list := c.life.list
		c.tasks.Go(func() {
			defer close(left)
			if err := list.Leave(timeout); err != nil {
				c.life.leftErr = fmt.Errorf("%w within %v", ErrLeaveUnconfirmed, timeout)
			}
		})
	}
	c.mu.Unlock()
	select {
	case <-left:
		return c.life.leftErr
	case <-ctx.Done():
		return fmt.Errorf("membership: leave: %w", ctx.Err())
	}
}

// hasLeft tells whether Leave was called.
func (c *Cluster) hasLeft() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.life.leaving != nil
}

// Stop ends gossip and waits for all goroutines of the Cluster, and for a
// Leave that is under way. Without Leave before, the others find this node
// dead. Calls after the first wait for it.
func (c *Cluster) Stop() {
	c.mu.Lock()
	was, left := c.life.phase, c.life.leaving
	c.life.phase = phaseStopped
	c.mu.Unlock()
	switch was {
	case phaseStopped:
		<-c.life.stopped
		return
	case phaseRunning:
		if left != nil {
			<-left // memberlist panics when it leaves after its shutdown
		}
		c.cancel()
		if err := c.life.list.Shutdown(); err != nil {
			c.log.Warn().Err(err).Msg("gossip did not shut down cleanly")
		}
	}
	c.cancel()
	c.tasks.Wait()
	c.lines.muted.Store(true)
	close(c.life.stopped)
}

// Snapshot gives the latest view of the live members. It is never nil, costs
// an atomic load, and is shared: do not write to it.
func (c *Cluster) Snapshot() *Snapshot { return c.snap.Load() }

// Failed delivers at most one error: one that this node must stop for, without
// Leave. So far that is ErrNameTaken, after this node has joined: an older live
// process of its name has turned up, or the cluster took this one for dead for
// so long that it has given the name to a younger one.
func (c *Cluster) Failed() <-chan error { return c.failed }

// fail reports an error that this node must stop for.
func (c *Cluster) fail(err error) {
	select {
	case c.failed <- err:
		c.log.Error().Err(err).Msg("this node must stop")
	default:
	}
}

// Members gives everything that this node's gossip knows, the dead and those
// who left for a while included, sorted by name. It costs an exchange through
// an in-memory pipe and is meant for people, not for every call. Errors:
// ErrNotRunning, ErrBadState, or that of ctx.
func (c *Cluster) Members(ctx context.Context) ([]Member, error) {
	states, err := c.localStates(ctx)
	if err != nil {
		if c.ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", ErrNotRunning, err)
		}
		return nil, err
	}
	members := make([]Member, 0, len(states))
	for i := range states {
		s := &states[i]
		meta, err := DecodeMeta(s.Meta)
		if err != nil {
			continue
		}
		m := newMember(s.Name, s.Addr, meta)
		m.Health, m.Incarnation, m.Since = s.Health, s.Incarnation, c.roster.since(s.Name)
		members = append(members, m)
	}
	sortMembers(members)
	return members, nil
}
