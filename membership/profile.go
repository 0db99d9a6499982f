package membership

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"
)

// Profile is a set of timings for one kind of network. All nodes of a cluster
// should use the same one. The zero value is LAN.
type Profile uint8

// The profiles. DetectionTime says what each means for a crash.
const (
	// LAN suits one data centre: a probe a second.
	LAN Profile = iota
	// WAN suits links between data centres: a probe every five seconds.
	WAN
	// Local suits one machine, for development and tests: four probes a
	// second, and timeouts that a busy laptop keeps to.
	Local
)

var profileNames = [...]string{LAN: "lan", WAN: "wan", Local: "local"}

// ParseProfile reads "lan", "wan" or "local", in any case.
func ParseProfile(text string) (Profile, error) {
	for p, name := range profileNames {
		if strings.EqualFold(text, name) {
			return Profile(p), nil
		}
	}
	return LAN, fmt.Errorf("%w %q, want lan, wan or local", ErrProfile, text)
}

// String gives the text that ParseProfile reads.
func (p Profile) String() string {
	if int(p) < len(profileNames) {
		return profileNames[p]
	}
	return fmt.Sprintf("profile(%d)", uint8(p))
}

// MarshalText implements encoding.TextMarshaler.
func (p Profile) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler with ParseProfile.
func (p *Profile) UnmarshalText(text []byte) (err error) {
	*p, err = ParseProfile(string(text))
	return err
}

// tuning is what a profile stands for.
type tuning struct {
	probeInterval  time.Duration // one member is probed per interval
	probeTimeout   time.Duration // direct answer; then indirect probes
	gossipInterval time.Duration
	pushPull       time.Duration // between full state exchanges
	streamTimeout  time.Duration // of one state exchange
	deadTime       time.Duration // how long the dead are remembered and gossiped to
	gossipNodes    int
	indirectChecks int
	suspicionMult  int
	suspicionMax   int // multiplies the suspicion timeout when nobody confirms it
	retransmitMult int // every node sends each piece of news this often, times the decimal digits of the number of nodes
	awarenessMax   int // how far a struggling node stretches its probe interval

	rejoin     time.Duration // between attempts to heal
	contact    time.Duration // to ask one process who it is
	backoffMin time.Duration // between rounds over the seeds
	backoffMax time.Duration
	leave      time.Duration // for the leave message to go out
}

// tuning gives the profile's timings. News is sent twice as often as memberlist
// would: with 4, in clusters of 5 to 9 nodes, one join in a hundred stayed
// unknown to somebody until the next full state exchange; with 8 none in
// thousands did.
func (p Profile) tuning() tuning {
	t := tuning{
		probeInterval: time.Second, probeTimeout: 500 * time.Millisecond,
		gossipInterval: 200 * time.Millisecond, gossipNodes: 6,
		pushPull: 30 * time.Second, streamTimeout: 10 * time.Second, deadTime: 30 * time.Second,
		indirectChecks: 3, suspicionMult: 4, suspicionMax: 6, retransmitMult: 8, awarenessMax: 8,
		rejoin: 15 * time.Second, contact: 3 * time.Second, leave: 5 * time.Second,
		backoffMin: 250 * time.Millisecond, backoffMax: 10 * time.Second,
	}
	switch p {
	case WAN:
		t.probeInterval, t.probeTimeout = 5*time.Second, 3*time.Second
		t.gossipInterval, t.gossipNodes = 500*time.Millisecond, 4
		t.pushPull, t.streamTimeout, t.deadTime = time.Minute, 30*time.Second, 3*time.Minute
		t.suspicionMult = 6
		t.rejoin, t.contact, t.leave = time.Minute, 10*time.Second, 10*time.Second
		t.backoffMin, t.backoffMax = time.Second, 30*time.Second
	case Local:
		t.probeInterval, t.probeTimeout = 250*time.Millisecond, 150*time.Millisecond
		t.gossipInterval = 50 * time.Millisecond
		t.pushPull, t.streamTimeout, t.deadTime = 5*time.Second, 2*time.Second, 20*time.Second
		t.indirectChecks, t.suspicionMax = 2, 4
		t.rejoin, t.contact, t.leave = 2*time.Second, time.Second, 2*time.Second
		t.backoffMin, t.backoffMax = 100*time.Millisecond, 2*time.Second
	}
	return t
}

// DetectionTime is an upper estimate of how long a cluster of n nodes takes
// from the crash of one to its removal from every snapshot: until somebody
// probes it, until the suspicion runs out even if nobody confirms it, and
// until the news has spread. With others to confirm the suspicion it usually
// takes a third of that. For five nodes: LAN 32 s, WAN 67 s, Local 6 s; it
// grows with the logarithm of n.
func (p Profile) DetectionTime(n int) time.Duration {
	t := p.tuning()
	n = max(n, 2)
	// Each of the others probes one random member per interval; that all of
	// them miss the dead one five times in a row has a chance under 1 %.
	rounds := min(5, 2*(n-1)-1)
	// A probe lasts one interval, two on a node that has just seen one fail.
	probing := time.Duration(rounds+2) * t.probeInterval

	suspicion := time.Duration(float64(t.suspicionMult) * math.Max(1, math.Log10(float64(n))) * float64(t.probeInterval))
	if n >= t.suspicionMult { // enough others to confirm, so it starts at the longer timeout
		suspicion *= time.Duration(t.suspicionMax)
	}
	spread := time.Duration(math.Ceil(math.Log2(float64(n+1)))) * t.gossipInterval
	return probing + suspicion + spread
}

// config gives memberlist's settings: its defaults for a LAN with the
// profile's timings.
func (t *tuning) config() *memberlist.Config {
	conf := memberlist.DefaultLANConfig()
	conf.ProbeInterval, conf.ProbeTimeout = t.probeInterval, t.probeTimeout
	conf.GossipInterval, conf.GossipNodes = t.gossipInterval, t.gossipNodes
	conf.PushPullInterval, conf.TCPTimeout = t.pushPull, t.streamTimeout
	conf.GossipToTheDeadTime = t.deadTime
	conf.IndirectChecks, conf.RetransmitMult = t.indirectChecks, t.retransmitMult
	conf.SuspicionMult, conf.SuspicionMaxTimeoutMult = t.suspicionMult, t.suspicionMax
	conf.AwarenessMaxMultiplier = t.awarenessMax
	// A name is free for another address as soon as it is dead: who comes back
	// has made sure that its former process does not answer, and a wait here
	// would let nodes that heard of the death at different times disagree.
	conf.DeadNodeReclaimTime = time.Millisecond
	// Compression costs more time than the few small messages are worth.
	conf.EnableCompression = false
	conf.HandoffQueueDepth = 4096
	conf.DelegateProtocolMin, conf.DelegateProtocolMax, conf.DelegateProtocolVersion = metaFormat, metaFormat, metaFormat
	return conf
}
