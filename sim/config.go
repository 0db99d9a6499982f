package sim

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/rs/zerolog"

	"github.com/meshnode/meshnode/internal/planted"
	"github.com/meshnode/meshnode/internal/simnet"
	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/router"
)

// What a network is made of; package internal/simnet has the details.
type (
	// Link is what one direction between two hosts is like: Latency, Loss,
	// Duplicate, Reorder (probabilities, 0 to 1), Jitter, Bandwidth (bytes a
	// second, 0 for no bound), Cut.
	Link = simnet.Link
	// Dist is a distribution of delays: Constant, Uniform, Normal or Pareto.
	Dist = simnet.Dist
	// Event is something that happened on the network.
	Event = simnet.Event
)

// Constant is always d.
func Constant(d time.Duration) Dist { return simnet.Constant(d) }

// Uniform is anything from low to high.
func Uniform(low, high time.Duration) Dist { return simnet.Uniform(low, high) }

// Normal has a mean and a standard deviation, and is cut off at 0.
func Normal(mean, deviation time.Duration) Dist { return simnet.Normal(mean, deviation) }

// Pareto is at least low, with a tail: P(X > x) = (low/x)^alpha.
func Pareto(low time.Duration, alpha float64) Dist { return simnet.Pareto(low, alpha) }

// Defaults of Config.
const (
	DefaultNodes   = 3
	DefaultStagger = 20 * time.Millisecond
	DefaultSeeds   = 3
)

// DefaultLink is a network within a data centre.
func DefaultLink() Link {
	return Link{Latency: Uniform(200*time.Microsecond, 600*time.Microsecond)}
}

// Config says what is simulated. The zero value is three nodes in one data centre.
type Config struct {
	// Nodes start with the cluster; Cluster.Add adds others. 0: DefaultNodes.
	Nodes int
	// Seed decides every delay, loss and choice. In Test, 0 takes another one
	// each time; it is printed when the test fails.
	Seed uint64
	// Profile tunes failure detection. Zero: membership.LAN.
	Profile membership.Profile
	// Link is what all links are like. Zero: DefaultLink.
	Link Link
	// Zones are given to the nodes in turn. Empty: no zones.
	Zones []string
	// Table are the parameters of the ownership table.
	Table router.Params
	// Stagger is the time between the starts of two nodes. 0: DefaultStagger;
	// negative: all at once.
	Stagger time.Duration
	// Seeds is how many of the first nodes a node has for seeds. 0: DefaultSeeds.
	Seeds int
	// Setup registers the handlers of a node; it is called before each start of
	// it, also after a restart. i is the node's index. A panic is the error of that
	// start. May be nil.
	Setup func(i int, n *node.Node)
	// Node changes what a node is configured with. Name, Bind, Seeds, Network and
	// Sim are set already, and Network and Sim must stay. May be nil.
	Node func(i int, cfg *node.Config)
	// Logger takes the logs of all nodes. Zero: nothing is logged.
	Logger zerolog.Logger
	// Trace is told all that happens on the network. It must use nothing of the
	// cluster. May be nil.
	Trace func(Event)
	// Stall is how long virtual time may stand still, in real time, before the
	// run is ended with the stacks of all goroutines. 0: a minute.
	Stall time.Duration
	// Inside is for package sim/scenario; others leave it zero.
	Inside Inside
}

// Inside is what package sim/scenario sees and does that is of no use to others.
type Inside struct {
	// Bugs are planted, to show that they are found.
	Bugs planted.Bugs
	// Published is told each change of a node's table, before the node uses it. It
	// must not use the node. May be nil.
	Published func(i int, old, next *router.Table)
}

func (c Config) withDefaults() (Config, error) {
	if c.Nodes == 0 {
		c.Nodes = DefaultNodes
	}
	if c.Nodes < 0 || c.Nodes > maxNodes {
		return c, fmt.Errorf("sim: %d nodes; want 1 to %d", c.Nodes, maxNodes)
	}
	if c.Link == (Link{}) {
		c.Link = DefaultLink()
	}
	if c.Stagger == 0 {
		c.Stagger = DefaultStagger
	}
	if c.Seeds <= 0 {
		c.Seeds = DefaultSeeds
	}
	return c, c.Table.Validate()
}

// maxNodes is bounded by the addresses that hostAddr has.
const maxNodes = 1 << 16

// manyNodes is from how many nodes on tables are made only when somebody looks
// into them.
const manyNodes = 25

// A cluster of coarseNodes or more has datagrams arrive at whole multiples of
// coarseGrain: with a thousand nodes six arrive at a time, and what both processors
// do at once takes a quarter off the run.
const (
	coarseNodes = 200
	coarseGrain = 100 * time.Microsecond
)

const (
	meshPort   = 7101
	nodeNet    = 10
	clientHost = 200 // second byte of clients' addresses
)

// hostAddr is the address of a node: 10.GENERATION.x.y.
func hostAddr(index, generation int) netip.Addr {
	return netip.AddrFrom4([4]byte{nodeNet, byte(generation % clientHost), byte(index >> 8), byte(index)})
}

// nodeName is the name of a node: n, and the index in three digits or more.
func nodeName(index int) string { return fmt.Sprintf("n%03d", index) }

// clientAddr is the address of the k-th host that is no member's.
func clientAddr(k int) netip.Addr {
	return netip.AddrFrom4([4]byte{nodeNet, clientHost, byte(k >> 8), byte(k)})
}
