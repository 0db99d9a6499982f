package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

// The service under overload has a bounded resource, as a pool of connections to
// a database is: so many slots, and so long for each call.
const (
	overSlots    = 8
	overWork     = 5 * time.Millisecond
	overPatience = 250 * time.Millisecond // of callers
	overFactor   = 3                      // times what it can do
)

// overRun is one run: a second at what the service can do for each five of
// overload, at least.
type overRun struct {
	Name     string         `json:"name"`
	Peak     float64        `json:"peak_per_s"`    // what the service can do
	Goodput  float64        `json:"goodput_per_s"` // under overload: answered in time
	Share    float64        `json:"share_of_peak"`
	Critical float64        `json:"critical_p99_ms"` // of critical calls, those that failed included at their end
	CritOK   float64        `json:"critical_ok"`     // part of the critical calls that were answered in time
	Refused  map[string]int `json:"refused"`         // by priority
	Late     int            `json:"late"`            // calls whose deadline passed
	Seconds  []float64      `json:"goodput_by_second"`
}

// overMethod is a call that is not sent again: the load is what is meant.
var overMethod = rpc.NewMethod[[]byte, []byte]("over.Work",
	rpc.WithPolicy(rpc.CallPolicy{Timeout: overPatience, Retries: rpc.NoRetries}))

func runOverload(ctx context.Context, o options, stdout, stderr io.Writer) error {
	length := 30 * time.Second
	if o.quick {
		length = 5 * time.Second
	}
	var runs []overRun
	for _, adaptive := range []bool{false, true} {
		r, err := overload(ctx, adaptive, length, stderr)
		if err != nil {
			return err
		}
		runs = append(runs, r)
	}
	if o.svg != "" {
		if err := os.WriteFile(o.svg, drawOverload(runs), 0o644); err != nil {
			return err
		}
	}
	if o.json {
		return json.NewEncoder(stdout).Encode(runs)
	}
	lines := [][]string{{"", "can do/s", "goodput/s", "of that", "critical answered", "critical p99 ms", "late", "refused sheddable", "default", "critical"}}
	for _, r := range runs {
		lines = append(lines, []string{
			r.Name, grouped(r.Peak), grouped(r.Goodput), figure(r.Share, 2), figure(100*r.CritOK, 1) + " %", figure(r.Critical, 1),
			fmt.Sprint(r.Late), fmt.Sprint(r.Refused["sheddable"]), fmt.Sprint(r.Refused["default"]), fmt.Sprint(r.Refused["critical"]),
		})
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d slots of %v, callers wait %v; %d times what it can do for %v: 10 %% critical, 60 %% default, 30 %% sheddable\n\n",
		overSlots, overWork, overPatience, overFactor, length)
	align(&b, lines)
	_, err := stdout.Write(b.Bytes())
	return err
}

// overload measures what the service can do, and then asks for more.
func overload(ctx context.Context, adaptive bool, length time.Duration, stderr io.Writer) (overRun, error) {
	r := overRun{Name: "no limit", Refused: make(map[string]int)}
	if adaptive {
		r.Name = "adaptive admission"
	}
	fmt.Fprintf(stderr, "%s\n", r.Name)
	pair, err := startMeshWith(ctx, func(cfg *node.Config) error {
		cfg.Admission.Adaptive = adaptive
		return nil
	})
	if err != nil {
		return r, err
	}
	defer pair.Close()
	slots := make(chan struct{}, overSlots)
	overMethod.Handle(pair.z, func(ctx context.Context, _ *[]byte) (*[]byte, error) {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		defer func() { <-slots }()
		<-time.After(overWork)
		return nil, nil
	})
	r.Peak = overPeak(ctx, pair)
	o := &overLoad{run: &r, pair: pair, seconds: make([]atomic.Int64, int(length/time.Second)+1)}
	o.send(ctx, overFactor*r.Peak, length)
	r.Share = r.Goodput / r.Peak
	return r, ctx.Err()
}

// overPeak is what the service can do: with twice as many callers as slots, who
// wait for their answers.
func overPeak(ctx context.Context, pair *meshPair) float64 {
	const measured = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, measured)
	defer cancel()
	var done atomic.Int64
	var wg sync.WaitGroup
	for range 2 * overSlots {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := overMethod.Call(ctx, pair.a, nil, rpc.Peer("z"), rpc.AtPriority(rpc.Critical)); err == nil {
					done.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return float64(done.Load()) / measured.Seconds()
}

// overLoad is an open loop: calls come at their rate, whatever becomes of those
// before.
type overLoad struct {
	run     *overRun
	pair    *meshPair
	seconds []atomic.Int64 // good answers in each second

	mu       sync.Mutex
	critical []time.Duration
	critGood int
}

func (o *overLoad) send(ctx context.Context, perSecond float64, length time.Duration) {
	random := rand.New(rand.NewPCG(11, 13))
	began, sent := time.Now(), 0
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var calls sync.WaitGroup
	for ctx.Err() == nil && time.Since(began) < length {
		<-tick.C
		for due := int(time.Since(began).Seconds() * perSecond); sent < due; sent++ {
			p := rpc.PriorityDefault
			switch n := random.IntN(10); {
			case n == 0:
				p = rpc.Critical
			case n < 4:
				p = rpc.Sheddable
			}
			calls.Go(func() { o.call(ctx, began, p) })
		}
	}
	calls.Wait()
	good := int64(0)
	for i := range o.seconds {
		n := o.seconds[i].Load()
		good += n
		if i < int(length/time.Second) {
			o.run.Seconds = append(o.run.Seconds, float64(n))
		}
	}
	o.run.Goodput = float64(good) / length.Seconds()
	slices.Sort(o.critical)
	if n := len(o.critical); n > 0 {
		o.run.Critical = float64(o.critical[n*99/100].Microseconds()) / 1000
		o.run.CritOK = float64(o.critGood) / float64(n)
	}
}

func (o *overLoad) call(ctx context.Context, began time.Time, p rpc.Priority) {
	start := time.Now()
	_, err := overMethod.Call(ctx, o.pair.a, nil, rpc.Peer("z"), rpc.AtPriority(p))
	took := time.Since(start)
	if err == nil {
		at := min(int(time.Since(began)/time.Second), len(o.seconds)-1)
		o.seconds[at].Add(1)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case errors.Is(err, rpc.ResourceExhausted):
		o.run.Refused[p.String()]++
	case err != nil:
		o.run.Late++
	}
	if p == rpc.Critical {
		o.critical = append(o.critical, took)
		if err == nil {
			o.critGood++
		}
	}
}

// drawOverload plots the good answers of each second.
func drawOverload(runs []overRun) []byte {
	const height, left, right, top, bottom = 260, 60, 150, 34, 34
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img">`, chartWidth, height)
	fmt.Fprintf(&b, "\n<title>Answers in time under three times the load that the service can do</title>\n<style>%s"+
		`.l{fill:none;stroke-width:2.5}.lm{stroke:#1f7ae0}.lo{stroke:#8c959f}.g{stroke:#8c959f;stroke-dasharray:3 3}</style>`+"\n", chartStyle)
	most := 0.0
	for _, r := range runs {
		most = max(most, r.Peak*1.1, slices.Max(r.Seconds))
	}
	x := func(i, n int) float64 { return left + float64(i)/float64(max(n-1, 1))*(chartWidth-left-right) }
	y := func(v float64) float64 { return top + (1-v/most)*(height-top-bottom) }
	fmt.Fprintf(&b, `<text class="h" x="%d" y="18">answers in time per second, under %d times what the service can do</text>`+"\n", left, overFactor)
	for i, r := range runs {
		class, text := "lo", "other"
		if i == len(runs)-1 {
			class, text = "lm", "mesh"
		}
		fmt.Fprintf(&b, `<polyline class="l %s" points="`, class)
		for s, v := range r.Seconds {
			fmt.Fprintf(&b, "%.1f,%.1f ", x(s, len(r.Seconds)), y(v))
		}
		b.WriteString(`"/>` + "\n")
		last := r.Seconds[len(r.Seconds)-1]
		fmt.Fprintf(&b, `<text class="%s" x="%d" y="%.1f">%s</text>`+"\n", text, chartWidth-right+8, y(last)+4, escaped(r.Name))
	}
	peak := runs[0].Peak
	fmt.Fprintf(&b, `<line class="g" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, left, chartWidth-right, y(peak), y(peak))
	fmt.Fprintf(&b, `<text class="n" x="%d" y="%.1f">%s</text><text class="n" x="%d" y="%.1f">0</text>`+"\n", left-6, y(peak)+4, grouped(peak), left-6, y(0)+4)
	fmt.Fprintf(&b, `<text x="%d" y="%d">0 s</text><text class="n" x="%d" y="%d">%d s</text>`+"\n</svg>\n", left, height-12, chartWidth-right, height-12, len(runs[0].Seconds))
	return b.Bytes()
}
