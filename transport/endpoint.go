package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/meshnode/meshnode/internal/wire"
)

// Defaults of Config.
const (
	DefaultMaxBody          = 4 << 20 // bytes
	DefaultMaxCalls         = 16384   // in flight on one connection
	DefaultMaxConns         = 32768
	DefaultMaxServed        = 65536              // in flight over all connections
	DefaultWindow           = wire.DefaultWindow // bytes, of one stream
	DefaultConnWindow       = 256 << 10          // bytes, of one connection
	DefaultMaxUnread        = 64 << 20           // bytes, of one connection
	DefaultMaxQueued        = 16 << 20           // bytes, of one connection
	DefaultMaxIncomplete    = 1 << 30            // bytes, over all connections
	DefaultKeepalive        = 15 * time.Second   // of silence before a ping
	DefaultKeepaliveTimeout = 10 * time.Second   // for the answer
	DefaultIdleTimeout      = 10 * time.Minute
	DefaultStallTimeout     = 60 * time.Second
	DefaultWriteTimeout     = 10 * time.Second // a write that takes longer ends the connection
	DefaultHandshakeTimeout = 5 * time.Second
	DefaultDialTimeout      = 3 * time.Second // connect and handshake
	// MaxMaxBody is the largest MaxBody that Config accepts, in bytes.
	MaxMaxBody = 1 << 30
)

// Config says who an Endpoint is and what it accepts. The zero value of each
// limit means its default. A nil Handler refuses every call.
type Config struct {
	Network Network
	Name    string // empty: a client, which others never call
	Cluster string // empty: a client that takes any cluster
	Boot    uint64 // tells two lives of one name apart
	KeyID   uint64 // identifies the gossip key; 0: none
	Handler Handler
	TLS     *TLS // nil: plain streams
	// Member reports whether an address is a member's: a flood of strangers from
	// others cannot keep it out. It must not block. May be nil.
	Member func(netip.Addr) bool
	Logger zerolog.Logger

	Limits
	Silence  Silence
	RandSeed uint64 // of the jitter between dials
}

// Limits bound what peers can cost in memory and time.
type Limits struct {
	MaxBody       int // bytes of one request, reply or message, 1 KiB to MaxMaxBody
	MaxCalls      int // calls in flight on one connection, each way
	MaxConns      int // open connections; others that come are refused
	MaxServed     int // calls being served, over all connections
	MaxIncomplete int // bytes of requests whose bodies are arriving, over all connections
	MaxQueued     int // bytes that wait to be written; then replies wait, and calls are refused at four times that
	MaxUnread     int // bytes of streams that arrived and were not received, of one connection, beyond 4 KiB of each
	Window        int // bytes of one stream under way, 1 KiB or more
	ConnWindow    int // bytes of all streams and long bodies of a connection under way, 1 KiB or more

	WriteTimeout     time.Duration // of one write; then the connection ends
	HandshakeTimeout time.Duration
	DialTimeout      time.Duration
	Keepalive        time.Duration // of silence before a ping
	KeepaliveTimeout time.Duration // for the answer; then the connection ends
	IdleTimeout      time.Duration // without calls; then the connection ends. Negative: never
	StallTimeout     time.Duration // for the other side to take or bring more of a stream or body
}

func (c *Config) setDefaults() error {
	if c.Network == nil {
		c.Network = System()
	}
	if c.Handler == nil {
		c.Handler = refuser{}
	}
	if err := c.Limits.setDefaults(); err != nil {
		return err
	}
	for what, name := range map[string]string{"node name": c.Name, "cluster name": c.Cluster} {
		if name != "" && !wire.ValidName(name) {
			return errors.New("transport: the " + what + " must be 1 to 128 printable ASCII characters without spaces")
		}
	}
	if c.TLS != nil {
		return c.TLS.bind(c.Name)
	}
	return nil
}

// refuser is the handler of those who serve nothing.
type refuser struct{}

func (refuser) ServeCall(in *Incoming) {
	_ = in.Reply(codeUnimplemented, refusal("this process serves no methods"), nil)
}

const codeUnimplemented = 12

// Endpoint is this process as its peers see it: all connections, in and out.
// Its life is new, serving, draining, closed.
type Endpoint struct {
	cfg     Config
	log     zerolog.Logger // for what strangers cause: bursts are cut
	crowd   zerolog.Logger // one line in a while
	stats   Stats
	inliner Inliner // the handler, if it is one

	greeting *Strangers // without a valid hello yet
	workers  workers
	replies  sync.Pool // of *Reply
	calls    sync.Pool // of *Incoming
	buffers  buffers

	start      time.Time    // what deadlines of calls count from
	tick       atomic.Int64 // looks of tend so far
	served     atomic.Int64 // calls being served
	incomplete atomic.Int64 // bytes declared by requests whose bodies are arriving

	mu      sync.Mutex
	conns   map[*Conn]struct{}
	peers   map[*Peer]struct{}
	state   endpointState
	dialN   uint64         // dials so far: the seed of each peer's jitter
	active  sync.WaitGroup // handshakes, dials, connections, and tend
	tending chan struct{}  // closed to stop tend; nil: it does not run

	closeOnce sync.Once
}

type endpointState uint8

const (
	serving_ endpointState = iota
	draining
	closed
)

// NewEndpoint checks cfg and gives an endpoint that is ready to accept and to
// dial. Errors say which field is wrong.
func NewEndpoint(cfg Config) (*Endpoint, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	ep := &Endpoint{
		cfg:   cfg,
		log:   cfg.Logger.Sample(&zerolog.BurstSampler{Burst: 20, Period: 10 * time.Second}),
		conns: make(map[*Conn]struct{}),
		peers: make(map[*Peer]struct{}),

		crowd:    cfg.Logger.Sample(&zerolog.BurstSampler{Burst: 1, Period: 10 * time.Second}),
		greeting: NewStrangers(maxStrangers, cfg.Member),
		start:    time.Now(),
	}
	ep.inliner, _ = cfg.Handler.(Inliner)
	ep.tick.Store(1)
	ep.workers.init()
	return ep, nil
}

// Stats are the endpoint's counters since its start.
func (ep *Endpoint) Stats() *Stats { return &ep.stats }

// Limits are those that hold here, defaults filled in.
func (ep *Endpoint) Limits() Limits { return ep.cfg.Limits }

// ServeConn greets the process that opened nc and serves it until the
// connection ends. It owns nc.
func (ep *Endpoint) ServeConn(nc net.Conn) {
	if !ep.enter() {
		_ = nc.Close()
		return
	}
	defer ep.active.Done()
	ep.stats.add(ConnsAccepted, 1)
	c, err := ep.receive(nc)
	if err == nil && !ep.add(c) {
		err = ErrShutdown
	}
	if err != nil {
		_ = nc.Close()
		ep.stats.add(ConnsRefused, 1)
		if errors.Is(err, ErrCrowded) {
			ep.crowded(err)
			return
		}
		ep.log.Warn().Err(err).Stringer("remote", nc.RemoteAddr()).Msg("connection refused")
		return
	}
	c.loops.Wait()
}

// Dial opens a connection to addr ("ip:port"). If want is not empty, the
// process there must bear that name. Errors: those of the network, ctx's own,
// those of TLS, and ErrVersion, ErrCluster, ErrGossipKey, ErrWrongPeer,
// ErrHandshakeTimeout.
func (ep *Endpoint) Dial(ctx context.Context, addr, want string) (*Conn, error) {
	if !ep.enter() {
		return nil, ErrClosed
	}
	bounded, cancel := context.WithTimeout(ctx, ep.cfg.DialTimeout)
	defer cancel()
	c, err := ep.dial(bounded, addr, want)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		// Our own limit, which must not look like the caller's deadline.
		err = fmt.Errorf("%w: no answer within %v: %v", ErrHandshakeTimeout, ep.cfg.DialTimeout, err)
	}
	if err != nil {
		ep.active.Done()
		ep.stats.add(DialsFailed, 1)
		return nil, err
	}
	ep.stats.add(ConnsDialled, 1)
	if !ep.add(c) {
		ep.active.Done()
		return nil, ErrClosed
	}
	go func() {
		defer ep.active.Done()
		c.loops.Wait()
	}()
	return c, nil
}

// enter counts one more goroutine that Close waits for.
func (ep *Endpoint) enter() bool {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if ep.state != serving_ {
		return false
	}
	ep.active.Add(1)
	return true
}

func (ep *Endpoint) isServing() bool {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	return ep.state == serving_
}

// add starts a connection that has greeted, unless the endpoint is ending.
func (ep *Endpoint) add(c *Conn) bool {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if ep.state != serving_ {
		_ = c.nc.Close()
		return false
	}
	ep.conns[c] = struct{}{}
	if ep.tending == nil {
		ep.tending = make(chan struct{})
		ep.active.Add(1)
		go ep.tend(ep.tending)
	}
	c.life.heard.Store(ep.tick.Load())
	c.life.active.Store(ep.tick.Load())
	c.run()
	return true
}

func (ep *Endpoint) forget(c *Conn) {
	ep.stats.add(ConnsClosed, 1)
	ep.mu.Lock()
	defer ep.mu.Unlock()
	delete(ep.conns, c)
}

// Serving gives the number of calls being served, over all connections.
func (ep *Endpoint) Serving() int { return int(ep.served.Load()) }

// Conns gives the number of open connections.
func (ep *Endpoint) Conns() int {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	return len(ep.conns)
}

// Drain tells every peer that no new calls are taken, lets those under way
// finish, and closes the connections; what is left when ctx ends is cut. New
// connections are refused from here on.
func (ep *Endpoint) Drain(ctx context.Context) {
	var wg sync.WaitGroup
	for _, c := range ep.leave(draining) {
		wg.Go(func() { c.drain(ctx) })
	}
	wg.Wait()
}

// leave moves to a later state and gives the open connections.
func (ep *Endpoint) leave(to endpointState) []*Conn {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	ep.state = max(ep.state, to)
	return ep.openLocked()
}

func (ep *Endpoint) stopTending() {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if ep.tending != nil {
		close(ep.tending)
	}
}

// Close ends all connections at once and waits for every goroutine, handlers
// included. Closing again does nothing.
func (ep *Endpoint) Close() {
	ep.closeOnce.Do(func() {
		for _, c := range ep.leave(closed) {
			c.Close()
		}
		ep.greeting.Close()
		ep.closePeers()
		ep.stopTending()
		ep.active.Wait()
		ep.workers.stop()
	})
}

func (ep *Endpoint) closePeers() {
	ep.mu.Lock()
	peers := ep.peers
	ep.peers = nil
	ep.mu.Unlock()
	for p := range peers {
		p.Close()
	}
}
