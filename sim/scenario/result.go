package scenario

// Result is what a run showed. It is written as JSON as it is; times are seconds
// of virtual time since the start of the run, where they do not say otherwise.
type Result struct {
	Scenario  string  `json:"scenario"`
	Story     string  `json:"story,omitempty"`
	Seed      uint64  `json:"seed"`
	Nodes     int     `json:"nodes"` // at most at a time
	Profile   string  `json:"profile"`
	VirtualS  float64 `json:"virtual_s"`
	WallS     float64 `json:"wall_s"`
	Ratio     float64 `json:"ratio"` // virtual / wall
	TraceHash string  `json:"trace_hash"`
	Events    uint64  `json:"trace_events"`
	Exact     bool    `json:"exact"` // the same seed gives the same trace
	Go        string  `json:"go"`
	Module    string  `json:"module,omitempty"` // hash of the program, in an exact run
	Replay    string  `json:"replay"`           // the command that runs it again

	Broken   []Broken      `json:"broken"` // empty: all invariants held, and all expectations
	Checked  []Checked     `json:"checked"`
	Faults   []FaultRecord `json:"faults"`
	Summary  Summary       `json:"summary"`
	Series   Series        `json:"series"`
	Planted  []string      `json:"planted,omitempty"` // bugs that were planted on purpose
	Warnings []string      `json:"warnings,omitempty"`
}

// Broken is an invariant, or an expectation, that did not hold.
type Broken struct {
	Invariant string  `json:"invariant"`
	AtS       float64 `json:"at_s"`
	Detail    string  `json:"detail"`
	Count     int     `json:"count"` // how often it broke; the detail is the first time's
}

// Checked is an invariant and how often it was looked at, so that one that was
// never looked at does not pass for one that holds.
type Checked struct {
	Invariant string `json:"invariant"`
	Meaning   string `json:"meaning"`
	Times     uint64 `json:"times"`
}

// FaultRecord is a fault as it happened.
type FaultRecord struct {
	Do     string   `json:"do"`
	AtS    float64  `json:"at_s"`
	UntilS float64  `json:"until_s,omitempty"` // 0: for good, or over at once
	Nodes  []string `json:"nodes,omitempty"`
	Detail string   `json:"detail,omitempty"`
}

// Summary is what the run comes to.
type Summary struct {
	JoinS              float64        `json:"join_s"`             // until all agreed for the first time
	DetectionS         *Spread        `json:"detection_s"`        // from a crash until no live node lists the dead one; nil: no crash
	FirstDetectionS    *Spread        `json:"first_detection_s"`  // until the first one does not
	FalsePositives     int            `json:"false_positives"`    // live, reachable members that somebody took for dead
	ConvergenceS       *Spread        `json:"convergence_s"`      // from the end of a fault until all agree; nil: no fault
	Availability       float64        `json:"availability"`       // calls answered / calls ended; 1 without calls
	Calls              uint64         `json:"calls"`              // that ended
	ByCode             map[string]int `json:"by_code"`            // of calls
	P50Ms              float64        `json:"p50_ms"`             // of calls that were answered
	P99Ms              float64        `json:"p99_ms"`             //
	MaxMs              float64        `json:"max_ms"`             //
	Failovers          uint64         `json:"failovers"`          // calls served in an owner's place
	MovedPartitions    uint64         `json:"moved_partitions"`   // by all changes of the table
	MovedRequired      uint64         `json:"moved_required"`     // of these, from who left or to who joined
	TableChanges       int            `json:"table_changes"`      // different tables that all agreed on
	GossipBytesPerNode float64        `json:"gossip_bytes_per_s"` // sent by each node per second
	PacketsPerNode     float64        `json:"packets_per_s"`      // datagrams sent by each node per second
	MeshBytesPerNode   float64        `json:"mesh_bytes_per_s"`   // of calls, per node and second
	Partitions         int            `json:"partitions"`         // of the key space
	Goroutines         int            `json:"goroutines"`         // most at a time
	HeapMiB            float64        `json:"heap_mib"`           // most at a time
}

// Spread is the least, the middle and the most of some values.
type Spread struct {
	N   int     `json:"n"`
	Min float64 `json:"min"`
	P50 float64 `json:"p50"`
	Max float64 `json:"max"`
}

// Series are values over time, one for each sample; all slices are of the length
// of T.
type Series struct {
	T            []float64 `json:"t"`
	Live         []int     `json:"live"`         // processes that run
	SeenMin      []int     `json:"seen_min"`     // members that the live nodes see
	SeenMean     []float64 `json:"seen_mean"`    //
	SeenMax      []int     `json:"seen_max"`     //
	Tables       []int     `json:"tables"`       // different tables among the live nodes
	Calls        []int     `json:"calls"`        // that ended in the interval before
	Failed       []int     `json:"failed"`       // of these
	P50Ms        []float64 `json:"p50_ms"`       // of those answered in the interval; 0: none
	P99Ms        []float64 `json:"p99_ms"`       //
	MaxMs        []float64 `json:"max_ms"`       //
	Moved        []int     `json:"moved"`        // partitions whose owner changed in the interval, by a node's table on average
	GossipPerSec []float64 `json:"gossip_per_s"` // bytes sent by each live node per second
}

// Held tells whether nothing broke.
func (r *Result) Held() bool { return len(r.Broken) == 0 }
