package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/meshnode/meshnode/sim"
)

// playScript does what the script says, when it says so, until ctx ends.
func (r *run) playScript(ctx context.Context) {
	acts, _ := r.scenario.script() // Validate has seen it
	for i := range acts {
		a := &acts[i]
		if sleep(ctx, time.Until(r.start.Add(a.at))) != nil {
			return
		}
		r.act(ctx, a)
	}
}

// halfOpenLasts is how long connections that carry nothing any more may be in use:
// until a keepalive ends them.
const halfOpenLasts = 30 * time.Second

// halts tells whether a fault hits processes rather than links.
func halts(do string) bool {
	switch do {
	case "partition", "isolate", "cut", "link", "reset", "half-open":
		return false
	}
	return true
}

// act does one thing, and sees to it that it ends.
func (r *run) act(ctx context.Context, a *act) {
	involved := a.nodes
	if !halts(a.do) {
		involved = append(append([]int(nil), a.nodes...), r.others(a)...)
	}
	r.record(a)
	lasting := a.until > 0 || a.do == "stop" || a.do == "half-open"
	r.truth.begin(involved, lasting, halts(a.do), time.Now())
	undo := r.begin(a)
	if !lasting {
		return
	}
	r.acts.Go(func() {
		switch {
		case a.do == "half-open":
			_ = sleep(ctx, halfOpenLasts)
		case a.until > 0:
			_ = sleep(ctx, time.Until(r.start.Add(a.until)))
		}
		if undo != nil {
			undo()
		}
		r.trace.note("over", a.do, r.names(a.nodes))
		r.truth.end(involved, halts(a.do), time.Now())
	})
}

// begin does what a fault does, and gives what ends it.
func (r *run) begin(a *act) (undo func()) {
	each := func(f func(i int)) {
		for _, i := range a.nodes {
			f(i)
		}
	}
	switch a.do {
	case "crash", "power-off":
		each(func(i int) { r.kill(i, a.do) })
		return func() { each(r.boot) }
	case "restart":
		each(func(i int) {
			r.kill(i, "crash")
			r.boot(i)
		})
	case "move":
		each(r.move)
	case "stop":
		return r.stopNodes(a)
	case "pause":
		each(r.cluster.Pause)
		return func() { each(r.cluster.Resume) }
	case "slow":
		each(func(i int) { r.cluster.Slow(i, a.fault.Work.D()) })
		return func() { each(func(i int) { r.cluster.Slow(i, 0) }) }
	case "add":
		r.add()
	case "impostor":
		each(r.impostor)
	case "isolate":
		return r.isolate(a)
	default:
		return r.onLinks(a)
	}
	return nil
}

// onLinks does what happens to links.
func (r *run) onLinks(a *act) (undo func()) {
	others := r.others(a)
	pairs := func(f func(*sim.LinkControl)) {
		for _, i := range a.nodes {
			for _, j := range others {
				f(r.cluster.Link(i, j))
			}
		}
	}
	apply := func(l *sim.Link) { l.Cut = true }
	switch a.do {
	case "reset":
		pairs(func(l *sim.LinkControl) { l.Reset() })
		return nil
	case "half-open":
		pairs(func(l *sim.LinkControl) { l.HalfOpen() })
		return nil
	case "link":
		apply = a.fault.Link.apply
	}
	rules := []sim.Rule{r.cluster.Change(a.nodes, others, apply)}
	if !a.fault.OneWay {
		rules = append(rules, r.cluster.Change(others, a.nodes, apply))
	}
	return func() {
		for _, rule := range rules {
			rule.Remove()
		}
	}
}

func (r *run) isolate(a *act) (undo func()) {
	var rules []sim.Rule
	cut := func(l *sim.Link) { l.Cut = true }
	for _, i := range a.nodes {
		rules = append(rules, r.cluster.Change([]int{i}, nil, cut), r.cluster.Change(nil, []int{i}, cut))
	}
	return func() {
		for _, rule := range rules {
			rule.Remove()
		}
	}
}

// others gives the other ends of a fault of links: those it names, or all that
// there are now but its own nodes.
func (r *run) others(a *act) []int {
	if len(a.fault.To) > 0 {
		return a.to
	}
	return without(r.cluster.Len(), a.nodes)
}

// setLinks makes links what a scenario says of them from the beginning.
func (r *run) setLinks(from, to Nodes, oneWay bool, l *Link) error {
	a, err := from.resolve(r.scenario.Nodes, r.scenario.zoneOf, nil)
	if err != nil {
		return fmt.Errorf("%w: links: from: %w", ErrScenario, err)
	}
	b, err := to.resolve(r.scenario.Nodes, r.scenario.zoneOf, nil)
	if err != nil {
		return fmt.Errorf("%w: links: to: %w", ErrScenario, err)
	}
	r.cluster.Change(a, b, l.apply)
	if !oneWay {
		r.cluster.Change(b, a, l.apply)
	}
	return nil
}

// record notes a fault for the result.
func (r *run) record(a *act) {
	rec := FaultRecord{Do: a.do, AtS: r.now().Seconds()}
	if a.until > 0 {
		rec.UntilS = (r.start.Sub(r.began) + a.until).Seconds()
	}
	for _, i := range a.nodes {
		rec.Nodes = append(rec.Nodes, r.cluster.Member(i).Name)
	}
	switch {
	case a.do == "slow":
		rec.Detail = a.fault.Work.String() + " for each packet and call"
	case a.do == "link":
		rec.Detail = linkText(&a.fault.Link)
	case a.fault.OneWay:
		rec.Detail = "one way"
	}
	r.trace.note("fault", a.do, r.names(a.nodes))
	r.mu.Lock()
	r.faults = append(r.faults, rec)
	r.mu.Unlock()
}

func linkText(l *Link) string {
	var parts []string
	if !l.Latency.IsZero() {
		parts = append(parts, "latency "+l.Latency.String())
	}
	for _, p := range []struct {
		name  string
		value float64
	}{{"loss", l.Loss}, {"duplicates", l.Duplicate}, {"reordering", l.Reorder}} {
		if p.value > 0 {
			parts = append(parts, fmt.Sprintf("%s %v %%", p.name, 100*p.value))
		}
	}
	if l.Bandwidth > 0 {
		parts = append(parts, fmt.Sprintf("%d B/s", l.Bandwidth))
	}
	return strings.Join(parts, ", ")
}

func (r *run) names(nodes []int) string {
	names := make([]string, len(nodes))
	for k, i := range nodes {
		names[k] = r.cluster.Member(i).Name
	}
	return strings.Join(names, " ")
}
