package scenario

import (
	"time"

	"github.com/meshnode/meshnode/membership"
)

// Scenario is a script: a mesh, what is done with it, and what is expected of it.
// In a file it is YAML with the names below; see Parse.
type Scenario struct {
	// Name is the scenario's name, as in reports.
	Name string `yaml:"name"`
	// Story tells in a paragraph what happens and what to look at.
	Story string `yaml:"story,omitempty"`
	// Seed decides all chance. 0: 1.
	Seed uint64 `yaml:"seed,omitempty"`
	// Nodes start at the beginning.
	Nodes int `yaml:"nodes"`
	// Profile is lan, wan or local. Empty: lan.
	Profile membership.Profile `yaml:"profile,omitempty"`
	// Duration is how long the script runs, in virtual time, from when the nodes
	// have joined. The run goes on until the last calls and checks are over.
	Duration Duration `yaml:"duration"`
	// Zones are given to the nodes in turn.
	Zones []string `yaml:"zones,omitempty"`
	// Partitions of the key space. 0: the product's default.
	Partitions uint32 `yaml:"partitions,omitempty"`
	// Stagger is the time between the starts of nodes. 0: 20 ms.
	Stagger Duration `yaml:"stagger,omitempty"`
	// Seeds is how many of the first nodes each node knows. 0: 3.
	Seeds int `yaml:"seeds,omitempty"`
	// Link is what all links are like. Zero: a data centre.
	Link Link `yaml:"link,omitempty"`
	// Links differ from Link.
	Links []LinkRule `yaml:"links,omitempty"`
	// Workload is the calls that are made. Without a rate there are none.
	Workload Workload `yaml:"workload,omitempty"`
	// Timeline is what goes wrong, and when.
	Timeline []Fault `yaml:"timeline,omitempty"`
	// Expect is what must hold besides the invariants.
	Expect Expect `yaml:"expect,omitempty"`
	// Plant makes the nodes faulty on purpose, to show that the invariants notice:
	// stale-table, serve-foreign, retry-ambiguous, no-refutation. For tests.
	Plant []string `yaml:"plant,omitempty"`
}

// Link is what one direction between two hosts is like.
type Link struct {
	Latency   Dist     `yaml:"latency,omitempty"`   // one way
	Loss      float64  `yaml:"loss,omitempty"`      // of packets, 0 to 1
	Duplicate float64  `yaml:"duplicate,omitempty"` // of packets, 0 to 1
	Reorder   float64  `yaml:"reorder,omitempty"`   // of packets, 0 to 1
	Jitter    Duration `yaml:"jitter,omitempty"`    // how far reordered packets are held back
	Bandwidth int64    `yaml:"bandwidth,omitempty"` // bytes a second; 0: no bound
}

// LinkRule is links that differ, in both directions unless OneWay.
type LinkRule struct {
	From   Nodes `yaml:"from"`
	To     Nodes `yaml:"to"`
	OneWay bool  `yaml:"one-way,omitempty"`
	Link   Link  `yaml:"link"`
}

// Workload is the calls that are made.
type Workload struct {
	// Rate is calls per second of virtual time, by all callers together.
	Rate float64 `yaml:"rate,omitempty"`
	// Clients is how many nodes that own nothing make the calls. 0: the nodes
	// themselves do.
	Clients int `yaml:"clients,omitempty"`
	// Keys are what is asked for.
	Keys Keys `yaml:"keys,omitempty"`
	// Writes is the part of the calls that are not idempotent, 0 to 1.
	Writes float64 `yaml:"writes,omitempty"`
	// Timeout of each call. 0: 2 s.
	Timeout Duration `yaml:"timeout,omitempty"`
	// Work is how long a handler takes. Zero: no time.
	Work Dist `yaml:"work,omitempty"`
}

// Keys are a set of keys, and which are asked for how often.
type Keys struct {
	Count        int     `yaml:"count,omitempty"`        // 0: 1000
	Distribution string  `yaml:"distribution,omitempty"` // uniform (the default) or zipf
	Skew         float64 `yaml:"skew,omitempty"`         // of zipf, above 1; 0: 1.1
}

// Fault is something that happens at a time.
type Fault struct {
	// At is when, from when the nodes have joined.
	At Duration `yaml:"at"`
	// Do names what; see Kinds.
	Do string `yaml:"do"`
	// Nodes are to whom.
	Nodes Nodes `yaml:"nodes,omitempty"`
	// To are the other ends, of what happens to links. Empty: all others.
	To Nodes `yaml:"to,omitempty"`
	// For is how long it lasts. 0: for good.
	For Duration `yaml:"for,omitempty"`
	// Each is the time between two of the nodes: one after the other. 0: all at once.
	Each Duration `yaml:"each,omitempty"`
	// Times is how often it happens, Every so long. 0: once.
	Times int      `yaml:"times,omitempty"`
	Every Duration `yaml:"every,omitempty"`
	// Work of a slow node, for each packet and call.
	Work Duration `yaml:"work,omitempty"`
	// Count of nodes that are added.
	Count int `yaml:"count,omitempty"`
	// Link is what links become.
	Link Link `yaml:"link,omitempty"`
	// OneWay has it happen from Nodes to To only.
	OneWay bool `yaml:"one-way,omitempty"`
}

// Expect is bounds on a run's figures. Zero fields are not looked at.
type Expect struct {
	// Availability is the least part of the calls that are answered, 0 to 1.
	Availability float64 `yaml:"availability,omitempty"`
	// Converge is the longest time from a fault's end until all agree. It replaces
	// the bound of the invariant agreement, which is derived from the profile.
	Converge Duration `yaml:"converge,omitempty"`
	// Detect is the longest time from a crash until nobody lists the dead node.
	// Zero: what the profile promises.
	Detect Duration `yaml:"detect,omitempty"`
	// FalsePositives is the most live and reachable members that may be taken for
	// dead. Nil: any number.
	FalsePositives *int `yaml:"false-positives,omitempty"`
	// P99 is the most that 99 of 100 answered calls take.
	P99 Duration `yaml:"p99,omitempty"`
	// Moved is the most partitions that may move, relative to those that have to.
	Moved float64 `yaml:"moved,omitempty"`
}

// Defaults of a scenario.
const (
	defaultTimeout = 2 * time.Second
	defaultKeys    = 1000
	defaultSkew    = 1.1
)
