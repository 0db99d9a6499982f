package membership

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Errors of this package. They come wrapped with details; compare with
// errors.Is.
var (
	// ErrConfig tells of a Config that New cannot use.
	ErrConfig = errors.New("membership: bad configuration")
	// ErrNameTaken tells that another live process of the cluster has this
	// node's name; it comes as a *NameTakenError. A node that gets it must
	// Stop without Leave: its leave message would name the other process.
	ErrNameTaken = errors.New("membership: node name is taken")
	// ErrNameListed tells that the cluster still lists a former process of
	// this node's name at another address, where nobody answers. It passes
	// when the cluster notices that the former process is gone.
	ErrNameListed = errors.New("membership: former process of this name is still listed")
	// ErrClusterMismatch tells that a peer belongs to another cluster.
	ErrClusterMismatch = errors.New("membership: peer belongs to another cluster")
	// ErrGossipKeyMismatch tells that a peer has another gossip key, or none
	// where this node has one, or one where this node has none.
	ErrGossipKeyMismatch = errors.New("membership: gossip keys differ")
	// ErrParamsMismatch tells that peers have other table parameters.
	ErrParamsMismatch = errors.New("membership: table parameters differ")
	// ErrProtocolMismatch tells of a protocol version outside Config.Protocols.
	ErrProtocolMismatch = errors.New("membership: protocol version is not supported")
	// ErrBadMeta tells of metadata that cannot be decoded or hold a value out
	// of range.
	ErrBadMeta = errors.New("membership: bad metadata")
	// ErrMetaTooLarge tells of metadata that take more than MetaLimit bytes.
	ErrMetaTooLarge = errors.New("membership: metadata too large")
	// ErrBadState tells of a peer's membership state that cannot be read.
	ErrBadState = errors.New("membership: bad state exchange")
	// ErrNotAccepted tells that a seed answered but did not take this node in.
	// Its log says why. It is worth another try.
	ErrNotAccepted = errors.New("membership: seed did not take this node in")
	// ErrNotRunning tells of a call before Start or after Stop.
	ErrNotRunning = errors.New("membership: not running")
	// ErrLeft tells of a call that makes no sense after Leave.
	ErrLeft = errors.New("membership: node has left the cluster")
	// ErrLeaveUnconfirmed tells that the leave message may not have gone out:
	// others may find this node dead rather than left.
	ErrLeaveUnconfirmed = errors.New("membership: leave message may not have gone out")
	// ErrKey tells of text that is no gossip key.
	ErrKey = errors.New("membership: bad gossip key")
	// ErrSeed tells of text that is no seed address.
	ErrSeed = errors.New("membership: bad seed")
	// ErrProfile tells of text that names no profile.
	ErrProfile = errors.New("membership: unknown profile")
)

// errSelf tells that a seed is this process.
var errSelf = errors.New("membership: seed is this node")

// errDuplicate refuses a merge of two views that hold one name twice.
var errDuplicate = errors.New("membership: name is in use at another address")

// NameTakenError is an ErrNameTaken with the process that has the name.
type NameTakenError struct {
	Name string         // the contested name
	Addr netip.AddrPort // where the other process answers
	Boot uint64         // of the other process; see BootTime
}

// Error implements error.
func (e *NameTakenError) Error() string {
	return fmt.Sprintf("%v: %q is a live node at %v, started %s", ErrNameTaken, e.Name, e.Addr,
		BootTime(e.Boot).UTC().Format("2006-01-02T15:04:05Z"))
}

// Is makes errors.Is(err, ErrNameTaken) true.
func (e *NameTakenError) Is(target error) bool { return target == ErrNameTaken }

// SeedError is why one seed was of no use.
type SeedError struct {
	Seed  string // as configured, or name and address of a known or former member
	Known bool   // it is one of Config.Known, no seed
	Err   error
}

// Error implements error.
func (e *SeedError) Error() string {
	what := "seed"
	if e.Known {
		what = "known peer"
	}
	return fmt.Sprintf("%s %s: %v", what, e.Seed, e.Err)
}

// Unwrap gives the reason.
func (e *SeedError) Unwrap() error { return e.Err }

// SeedErrors are the reasons of all the seeds and known members of one failed
// round. It is never empty.
type SeedErrors []*SeedError

// shownErrors is how many reasons the text of SeedErrors has.
const shownErrors = 8

// Error implements error, in one line, with the first few reasons.
func (e SeedErrors) Error() string {
	shown := e[:min(len(e), shownErrors)]
	parts := make([]string, len(shown))
	for i, se := range shown {
		parts[i] = se.Error()
	}
	if more := len(e) - len(shown); more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, "; ")
}

// Unwrap gives the single errors.
func (e SeedErrors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, se := range e {
		errs[i] = se
	}
	return errs
}

// permanent tells whether every seed refused for a reason that another try
// will not change. Known members, whose addresses may be others' by now, count
// only where there are no seeds.
func (e SeedErrors) permanent() bool {
	seeds := slices.ContainsFunc(e, func(se *SeedError) bool { return !se.Known })
	for _, se := range e {
		if seeds == !se.Known && !permanent(se.Err) {
			return false
		}
	}
	return len(e) > 0
}

// permanent tells whether err stands for a refusal that another try will not
// change.
func permanent(err error) bool {
	for _, known := range [...]error{ErrClusterMismatch, ErrGossipKeyMismatch, ErrParamsMismatch, ErrProtocolMismatch} {
		if errors.Is(err, known) {
			return true
		}
	}
	return errors.Is(err, ErrNameTaken)
}

// errDisbelieved is the planted fault that no refutation is believed.
var errDisbelieved = errors.New("membership: not believed (a planted fault)")
