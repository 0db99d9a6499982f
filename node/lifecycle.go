package node

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/transport"
)

// Errors of the lifecycle.
var (
	// ErrStarted tells of a second Start or Run.
	ErrStarted = errors.New("node: started already")
	// ErrStopped tells that the node was stopped.
	ErrStopped = errors.New("node: stopped")
)

// lifecycle is new, running, stopping, stopped, in this order only.
type lifecycle struct {
	opening sync.Mutex // held while the node opens what shut will close

	mu       sync.Mutex
	started  bool
	stopping bool
	cause    error         // why the node stops, if nobody asked it to
	stopped  chan struct{} // closed when stopped
}

func (l *lifecycle) init() { l.stopped = make(chan struct{}) }

// start moves from new to running and, if it succeeds, locks opening.
func (l *lifecycle) start() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopping {
		return ErrStopped
	}
	if l.started {
		return ErrStarted
	}
	l.started = true
	l.opening.Lock()
	return nil
}

// stop moves to stopping; only the first caller gets true. running tells
// whether there is something to stop.
func (l *lifecycle) stop() (first, running bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first, l.stopping = !l.stopping, true
	return first, l.started
}

// fail notes why the node stops though nobody asked it to.
func (l *lifecycle) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cause = err
}

// reason is why the node stopped: what fail noted, else err.
func (l *lifecycle) reason(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		return l.cause
	}
	return err
}

func (l *lifecycle) isStopping() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stopping
}

func (l *lifecycle) isStopped() bool {
	select {
	case <-l.stopped:
		return true
	default:
		return false
	}
}

// Start listens, joins, and returns when the node is ready: it has found a
// seed if it was given any, and has seen as many members as it expects. If it
// is refused (its name is taken, another cluster or key) or ctx ends first, it
// stops again and says why. ctx does not bound the node's life; Stop ends it,
// or an older process of the same name that turns up later: see Done.
func (n *Node) Start(ctx context.Context) error {
	if err := n.open(ctx); err != nil {
		return err
	}
	if err := n.join(ctx); err != nil {
		if n.life.isStopping() && ctx.Err() == nil {
			<-n.life.stopped // not Close, which would cut a Stop short
			return n.life.reason(ErrStopped)
		}
		n.Close()
		return n.life.reason(err)
	}
	return nil
}

// Run starts the node and serves until ctx ends, a Leave arrives, or the node
// is refused. Unlike Start it goes on looking for its seeds as long as it
// takes, answering meanwhile that it is not ready. At the end of ctx it leaves
// gracefully, within Limits.DrainTimeout. It returns nil after a graceful end.
func (n *Node) Run(ctx context.Context) error {
	if err := n.open(ctx); err != nil {
		return err
	}
	joining, cancel := context.WithCancel(ctx)
	var join sync.WaitGroup
	defer join.Wait()
	defer cancel()
	refused := make(chan error, 1)
	join.Go(func() {
		if err := n.join(joining); err != nil && joining.Err() == nil && !n.life.isStopping() {
			refused <- err
		}
	})
	select {
	case <-ctx.Done():
	case <-n.life.stopped:
		return n.life.reason(nil)
	case err := <-refused:
		n.Close()
		return n.life.reason(err)
	}
	return n.Stop(context.WithoutCancel(ctx))
}

// Done is closed when the node has stopped, for whatever reason.
func (n *Node) Done() <-chan struct{} { return n.life.stopped }

// open takes the port and starts to answer. What it opened is closed again on
// an error.
func (n *Node) open(ctx context.Context) error {
	if err := n.life.start(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)() // Stop waits for what is being opened
	err := n.openLocked(ctx)
	n.life.opening.Unlock()
	if err != nil {
		n.Close()
	}
	return err
}

// openLocked runs with life.opening held, which keeps shut out.
func (n *Node) openLocked(ctx context.Context) error {
	port, err := transport.OpenPort(ctx, n.cfg.Network, n.cfg.Bind)
	if err != nil {
		return err
	}
	n.port.Store(port)
	cluster, err := n.newCluster(port)
	if err != nil {
		return err
	}
	n.cluster.Store(cluster)
	if err := cluster.Start(); err != nil {
		return err
	}
	n.tasks.Go(func() {
		if err := port.Serve(transport.StreamHandlers{
			Mesh: n.endpoint.ServeConn, Gossip: cluster.ServeStream,
			MsgpackRPC: n.foreignStreams(), Refused: n.endpoint.Refused, Member: n.isMember,
			TLS: n.cfg.TLS,
		}); err != nil {
			n.log.Error().Err(err).Msg("listener failed")
		}
	})
	n.tasks.Go(func() { n.watch(cluster.Failed()) })
	if n.cfg.TLS != nil {
		n.tasks.Go(n.watchCertificates)
	}
	if n.cfg.Remember != nil {
		n.tasks.Go(func() { n.rememberPeers(n.ctx) })
	}
	n.log.Info().Stringer("addr", n.Addr()).Str("cluster", n.cfg.Cluster).Msg("listening")
	if n.known.first > 0 {
		n.log.Info().Int("peers", n.known.first).Str("kept_in", n.known.where).
			Msg("joining by the peers that this node knew; it founds no cluster while they are remembered")
	}
	return nil
}

// watch ends the node when membership finds that it must not go on.
func (n *Node) watch(failed <-chan error) {
	select {
	case err := <-failed:
		n.life.fail(fmt.Errorf("node %s must stop: %w", n.cfg.Name, err))
		go n.Close() // it waits for this task
	case <-n.ctx.Done():
	}
}

func (n *Node) newCluster(port *transport.Port) (*membership.Cluster, error) {
	addr, err := n.cfg.advertise(port.Addr())
	if err != nil {
		return nil, err
	}
	var known []membership.Known
	err = n.guarded("Config.Remember", func() error { known = n.known.recall(n.cfg.Remember); return nil })
	if err != nil {
		return nil, fmt.Errorf("node %s cannot start: %w", n.cfg.Name, err)
	}
	return membership.New(membership.Config{
		Name: n.cfg.Name, Cluster: n.cfg.Cluster, Network: n.gossipNetwork(),
		Packets: port.Packets(), Advertise: addr, Seeds: n.cfg.Seeds, Known: known,
		Profile: n.cfg.Profile, GossipKey: n.cfg.GossipKey,
		Meta: membership.Meta{
			Boot: n.boot, Zone: n.cfg.Zone, Weight: n.cfg.Weight,
			State: membership.StateJoining, Protocol: Protocol,
			Params: membership.TableParams{
				Partitions:    n.cfg.Table.Partitions,
				SlackPermille: uint16(n.cfg.Table.SlackPermille),
			},
		},
		Identify: n.identify, Logger: n.log, OnChange: n.onMembers, RandSeed: n.cfg.RandSeed,
		Planted: n.cfg.Sim.Planted(),
	})
}

// join finds a seed, waits for the members that are expected, and becomes
// ready.
func (n *Node) join(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)() // Stop ends it too
	cluster := n.cluster.Load()
	if err := cluster.Join(ctx); err != nil {
		return fmt.Errorf("node %s cannot join: %w", n.cfg.Name, err)
	}
	enough := func(v *view) bool { return len(v.members.Members) >= n.cfg.Expect }
	if err := n.waitView(ctx, enough); err != nil {
		return fmt.Errorf("node %s: %s: %w", n.cfg.Name, n.why(n.view.Load()), err)
	}
	// Who says that it serves is sent calls, and must know who else serves.
	if err := n.waitProofs(ctx, cluster); err != nil {
		return fmt.Errorf("node %s: %s: %w", n.cfg.Name, n.why(n.view.Load()), err)
	}
	if err := n.announce(cluster); err != nil {
		return err
	}
	// Who is seen first may not serve yet; a table without the rest would give
	// their keys to the few.
	complete := func(v *view) bool {
		return n.placed(v) && (v.pending() == "" || n.prover.late.Load())
	}
	if err := n.waitView(ctx, complete); err != nil {
		return fmt.Errorf("node %s: %s: %w", n.cfg.Name, n.why(n.view.Load()), err)
	}
	n.setReady()
	v := n.view.Load()
	n.log.Info().Int("members", len(v.members.Members)).
		Stringer("fingerprint", v.table.Fingerprint()).Msg("ready")
	return nil
}

// announce says that the node has joined and what it serves.
func (n *Node) announce(cluster *membership.Cluster) error {
	return cluster.UpdateMeta(func(m *membership.Meta) {
		if m.State == membership.StateJoining && !n.life.isStopping() { // Stop has said, or is about to say, that it drains
			m.State = membership.StateServing
		}
		n.describe(m)
	})
}

// placed tells whether the table of v has everybody whom this node expects in
// it. Who owns nothing is not in it itself, and needs somebody to route to.
func (n *Node) placed(v *view) bool {
	m, _ := v.members.Find(n.cfg.Name)
	if v.table.Len() < n.expectedOwners(m.State) {
		return false
	}
	return m.State == membership.StateStandby || v.table.Has(n.cfg.Name)
}

// expectedOwners is how many members own keys, this node included if its state lets it,
// before it is ready.
func (n *Node) expectedOwners(own membership.State) int {
	if own == membership.StateStandby {
		return max(n.cfg.Expect-1, 1)
	}
	return n.cfg.Expect
}

// why says what a node that is not ready waits for.
func (n *Node) why(v *view) string {
	cluster := n.cluster.Load()
	switch {
	case n.life.isStopped():
		return "it has stopped"
	case n.life.isStopping():
		return "it is stopping"
	case cluster == nil:
		return "it was not started"
	case !cluster.Joined():
		return n.looksFor()
	case len(v.members.Members) < n.cfg.Expect:
		return fmt.Sprintf("it sees %d of the %d members that it expects", len(v.members.Members), n.cfg.Expect)
	case !n.certified():
		return fmt.Sprintf("its own certificate is good no more: %v", *n.prover.own.Load())
	case v.pending() != "":
		return fmt.Sprintf("it has yet to prove the identity of %s", v.pending())
	}
	switch serve := len(n.servingMembers(v)); {
	case serve == 0:
		return "no member serves that it could route to"
	case serve < n.cfg.Expect:
		return fmt.Sprintf("%d of the %d members that it expects serve already", serve, n.cfg.Expect)
	}
	return "it has just joined"
}
