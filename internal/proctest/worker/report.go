package main

import (
	"slices"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// Report is what a client has met. Times are in milliseconds.
type Report struct {
	Seconds    float64        `json:"seconds"` // of sending
	Calls      int            `json:"calls"`
	Once       int            `json:"once"` // those that are not idempotent
	Failed     int            `json:"failed"`
	FailedOnce int            `json:"failed_once"`
	Codes      map[string]int `json:"codes,omitempty"`  // of failed ones
	Errors     []string       `json:"errors,omitempty"` // the first ones
	Wrong      int            `json:"wrong"`            // answers to another key
	Unowned    int            `json:"unowned"`          // by a node that neither owned the key nor stood in
	Failovers  int            `json:"failovers"`
	Forgotten  int            `json:"forgotten"` // calls that the times below do not cover: too many to keep

	P50       float64           `json:"p50_ms"`
	P99       float64           `json:"p99_ms"`
	Max       float64           `json:"max_ms"`
	Recovered []float64         `json:"recovered_ms"` // for each mark: to the first success of a key of the killed; -1: none
	Waited    []float64         `json:"waited_ms"`    // for each mark: the slowest call to such a key, from when it was due
	Stats     map[string]uint64 `json:"stats"`
}

const keptErrors = 10

func (r *Report) count(reply *Reply, key string, isOnce bool) {
	r.Calls++
	if isOnce {
		r.Once++
	}
	switch {
	case reply.Key != key:
		r.Wrong++
	case reply.Failover:
		r.Failovers++
	case !reply.Owned:
		r.Unowned++
	}
}

func (r *Report) fail(isOnce bool, err error) {
	r.Calls++
	if isOnce {
		r.Once++
		r.FailedOnce++
	} else {
		r.Failed++
	}
	if r.Codes == nil {
		r.Codes = make(map[string]int)
	}
	r.Codes[rpc.CodeOf(err).String()]++
	if len(r.Errors) < keptErrors {
		r.Errors = append(r.Errors, err.Error())
	}
}

// finish works out times: the latencies, and what each mark meant.
func (r *Report) finish(done []outcome, marks []mark) {
	latencies := make([]time.Duration, 0, len(done))
	for _, o := range done {
		latencies = append(latencies, o.ended.Sub(o.began))
	}
	slices.Sort(latencies)
	if n := len(latencies); n > 0 {
		r.P50, r.P99, r.Max = ms(latencies[n/2]), ms(latencies[n*99/100]), ms(latencies[n-1])
	}
	for _, m := range marks {
		recovered, waited := m.meant(done)
		r.Recovered = append(r.Recovered, recovered)
		r.Waited = append(r.Waited, waited)
	}
}

// struck is how long after a kill calls are looked at, whose callers still had the
// dead member in their tables.
const struck = time.Second

// meant gives how long it took from a kill to the first answer of another node to
// a call that was due after it, and the slowest of all calls to the killed that
// were under way then or due soon after. An answer of the killed itself, which
// takes a moment to die, is no recovery.
func (m mark) meant(done []outcome) (recovered, waited float64) {
	first, slowest := time.Duration(-1), time.Duration(0)
	for _, o := range done {
		if o.owner != m.name || o.ended.Before(m.at) || o.began.After(m.at.Add(struck)) {
			continue
		}
		slowest = max(slowest, o.ended.Sub(o.began))
		if took := o.ended.Sub(m.at); !o.byOwner && o.began.After(m.at) && (first < 0 || took < first) {
			first = took
		}
	}
	if first < 0 {
		return -1, ms(slowest)
	}
	return ms(first), ms(slowest)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
