package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

// shownFailures is how many failed keys a report names.
const shownFailures = 5

// tally counts routed keys. Its size does not grow with them.
type tally struct {
	mu       sync.Mutex
	total    int
	failed   int
	perNode  map[string]int
	failures []keyFailure
	took     latencies
}

// keyFailure is why one key failed.
type keyFailure struct {
	Key     string `json:"key"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// add counts one key. Those that were cut short by the user do not count.
func (t *tally) add(key, name string, took time.Duration, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total++
	t.took.add(took)
	if err == nil {
		t.perNode[name]++
		return
	}
	t.failed++
	if len(t.failures) < shownFailures {
		e := rpc.AsError(err)
		t.failures = append(t.failures, keyFailure{Key: key, Code: e.Code.String(), Message: e.Message})
	}
}

// counts gives what a progress bar shows.
func (t *tally) counts() (total, failed int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total, t.failed
}

// routeReport is what route found.
type routeReport struct {
	Total     int                `json:"total"`
	Failed    int                `json:"failed"`
	Skipped   int                `json:"skipped"` // empty lines
	PerNode   map[string]int     `json:"per_node"`
	Shares    map[string]float64 `json:"shares,omitempty"` // of the key space, by the table
	ElapsedMS int64              `json:"elapsed_ms"`
	CallsPerS float64            `json:"calls_per_s"`
	P50US     int64              `json:"p50_us"`
	P99US     int64              `json:"p99_us"`
	MaxUS     int64              `json:"max_us"`
	Failures  []keyFailure       `json:"failures,omitempty"`
}

// report sums up; nothing may be added any more.
func (t *tally) report(elapsed time.Duration, skipped int) *routeReport {
	return &routeReport{
		Total: t.total, Failed: t.failed, Skipped: skipped, PerNode: t.perNode,
		ElapsedMS: elapsed.Milliseconds(),
		CallsPerS: math.Round(float64(t.total) / max(elapsed.Seconds(), 1e-9)),
		P50US:     t.took.quantile(0.5).Microseconds(),
		P99US:     t.took.quantile(0.99).Microseconds(),
		MaxUS:     t.took.max.Microseconds(),
		Failures:  t.failures,
	}
}

// compare adds the shares that the table gives.
func (r *routeReport) compare(members []node.MemberInfo) {
	r.Shares = make(map[string]float64)
	for _, m := range members {
		if m.Share > 0 {
			r.Shares[m.Name] = m.Share
		}
	}
}

func (a *app) printRoute(r *routeReport) error {
	if a.json() {
		return a.printJSON(r)
	}
	return a.printLines(r.lines()...)
}

func (r *routeReport) lines() []string {
	micros := func(us int64) string { return brief(time.Duration(us) * time.Microsecond) }
	lines := []string{
		fmt.Sprintf("%s keys in %s: %s calls/s, %s failed%s", thousands(r.Total),
			brief(time.Duration(r.ElapsedMS)*time.Millisecond), thousands(int64(r.CallsPerS)), thousands(r.Failed), r.skipped()),
		fmt.Sprintf("a call took %s (p50), %s (p99), %s (max)", micros(r.P50US), micros(r.P99US), micros(r.MaxUS)),
		"",
	}
	names := maps.Clone(r.PerNode)
	for name := range r.Shares {
		names[name] += 0
	}
	answered := max(r.Total-r.Failed, 1)
	t := newTable("NODE", ">KEYS", ">SHARE", ">OF TABLE")
	for _, name := range slices.Sorted(maps.Keys(names)) {
		t.add(name, thousands(names[name]), percent(float64(names[name])/float64(answered)), percent(r.Shares[name]))
	}
	lines = append(lines, t.lines()...)
	if len(r.Failures) > 0 {
		lines = append(lines, "", fmt.Sprintf("The first of the failures (%s in all):", thousands(r.Failed)))
	}
	for _, f := range r.Failures {
		lines = append(lines, fmt.Sprintf("  %s  %s: %s", printable(f.Key), f.Code, oneLine(f.Message)))
	}
	return lines
}

func (r *routeReport) skipped() string {
	if r.Skipped == 0 {
		return ""
	}
	return ", " + plural(r.Skipped, "empty line", "empty lines") + " skipped"
}
