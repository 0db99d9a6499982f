package main

import (
	"slices"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// Report is what a client has met. Times are in milliseconds.
type Report struct {
	Calls      int            `json:"calls"`
	Once       int            `json:"once"` // those that are not idempotent
	Failed     int            `json:"failed"`
	FailedOnce int            `json:"failed_once"`
	Codes      map[string]int `json:"codes,omitempty"`  // of failed ones
	Errors     []string       `json:"errors,omitempty"` // the first ones
	Wrong      int            `json:"wrong"`            // answers to another key
	Unowned    int            `json:"unowned"`          // by a node that neither owned the key nor stood in
	Failovers  int            `json:"failovers"`

	P50       float64           `json:"p50_ms"`
	P99       float64           `json:"p99_ms"`
	Max       float64           `json:"max_ms"`
	Recovered []float64         `json:"recovered_ms"` // for each mark: to the first success of a key of the killed
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

// finish works out times: the latencies, and for each mark how long it took from
// then to the first success of a call to a key of the killed that began after it.
func (r *Report) finish(done []outcome, marks []mark) {
	if len(done) == 0 {
		return
	}
	latencies := make([]time.Duration, 0, len(done))
	for _, o := range done {
		latencies = append(latencies, o.ended.Sub(o.began))
	}
	slices.Sort(latencies)
	r.P50, r.P99 = ms(latencies[len(latencies)/2]), ms(latencies[len(latencies)*99/100])
	r.Max = ms(latencies[len(latencies)-1])
	for _, m := range marks {
		first := time.Duration(-1)
		for _, o := range done {
			if o.owner == m.name && o.began.After(m.at) && (first < 0 || o.ended.Sub(m.at) < first) {
				first = o.ended.Sub(m.at)
			}
		}
		r.Recovered = append(r.Recovered, ms(first))
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
