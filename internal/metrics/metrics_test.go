package metrics

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestBucketsHoldWhatIsBelowTheirBound(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		d := time.Duration(math.Exp(random.Float64() * math.Log(float64(130*time.Second))))
		i := bucketOf(d)
		if d >= UpperBound(i) || i > 0 && d < UpperBound(i-1) {
			t.Fatalf("%v is in bucket %d, from %v to %v", d, i, UpperBound(i-1), UpperBound(i))
		}
	}
	for i := 1; i < Buckets-1; i++ {
		if UpperBound(i) <= UpperBound(i-1) {
			t.Fatalf("bucket %d ends at %v, the one before at %v", i, UpperBound(i), UpperBound(i-1))
		}
	}
	for _, d := range []time.Duration{-time.Second, 0, time.Hour, math.MaxInt64} {
		new(Histogram).Observe(d)
	}
}

func TestQuantile(t *testing.T) {
	var h Histogram
	random := rand.New(rand.NewPCG(3, 4))
	var all []time.Duration
	for range 10_000 {
		d := time.Duration(random.ExpFloat64() * float64(5*time.Millisecond))
		all = append(all, d)
		h.Observe(d)
	}
	slices.Sort(all)
	var s Snapshot
	h.Snapshot(&s)
	for _, q := range []float64{0.5, 0.9, 0.95, 0.99} {
		got, want := s.Quantile(q), all[int(q*10_000)]
		if got < want-want/100 || got > want+want/3 {
			t.Errorf("the %v quantile is %v, want %v or up to a third more", q, got, want)
		}
	}
	if got := (&Snapshot{}).Quantile(0.5); got != 0 {
		t.Errorf("without durations: %v", got)
	}
}

// What is long ago does not count.
func TestRecent(t *testing.T) {
	var h Histogram
	r := NewRecent(&h, 0.95)
	if got := r.Value(0); got != 0 {
		t.Errorf("without durations: %v", got)
	}
	now := time.Duration(0)
	feed := func(d, span time.Duration) {
		for end := now + span; now < end; now += 10 * time.Millisecond {
			h.Observe(d)
			r.Value(now)
		}
	}
	feed(10*time.Millisecond, 30*time.Second)
	if got := r.Value(now); got < 10*time.Millisecond || got > 13*time.Millisecond {
		t.Errorf("of 10 ms: %v", got)
	}
	feed(time.Millisecond, 30*time.Second)
	if got := r.Value(now); got < time.Millisecond || got > 1300*time.Microsecond {
		t.Errorf("30 s later, of 1 ms: %v", got)
	}
}

func TestExposition(t *testing.T) {
	var h Histogram
	for _, d := range []time.Duration{500, 1500, time.Millisecond, time.Second, time.Hour} {
		h.Observe(d)
	}
	var s Snapshot
	h.Snapshot(&s)
	var out bytes.Buffer
	w := NewWriter(&out)
	w.Family("mesh_calls_total", "Calls made,\nall \\ of them.", KindCounter)
	w.Counter(3, "method", `odd "name"\`+"\n\xff", "code", "OK")
	w.Family("mesh_limit", "A limit.", KindGauge)
	w.Gauge(1.5)
	w.Family("mesh_call_seconds", "How long calls took.", KindHistogram)
	w.Histogram(&s, "method", "m")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	const label = `[a-z_]+="(?:[^"\\\n]|\\["\\n])*"`
	sample := regexp.MustCompile(`^[a-z_]+(\{` + label + `(,` + label + `)*\})? \S+$`)
	comment := regexp.MustCompile(`^# (HELP [a-z_]+ .*|TYPE [a-z_]+ (counter|gauge|histogram))$`)
	last, infinite := uint64(0), false
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSuffix(line, "\n")
		if !sample.MatchString(line) && !comment.MatchString(line) {
			t.Errorf("malformed: %s", line)
		}
		if strings.HasPrefix(line, "mesh_call_seconds_bucket") {
			n, err := strconv.ParseUint(line[strings.LastIndex(line, " ")+1:], 10, 64)
			if err != nil || n < last {
				t.Errorf("%s, behind %d: %v", line, last, err)
			}
			last, infinite = n, strings.Contains(line, `le="+Inf"`)
		}
	}
	if !infinite || last != 5 || !strings.Contains(out.String(), "mesh_call_seconds_count{method=\"m\"} 5\n") {
		t.Errorf("the histogram does not end with all 5:\n%s", out.String())
	}
	if want := `mesh_calls_total{method="odd \"name\"\\\n` + "\uFFFD" + `",code="OK"} 3`; !strings.Contains(out.String(), want) {
		t.Errorf("no %s in\n%s", want, out.String())
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, fmt.Errorf("broken pipe") }

func TestWriterReportsErrors(t *testing.T) {
	w := NewWriter(brokenPipe{})
	w.Family("a", "b", KindCounter)
	if w.Flush() == nil {
		t.Error("no error")
	}
}

func BenchmarkObserve(b *testing.B) {
	var h Histogram
	b.RunParallel(func(pb *testing.PB) {
		d := time.Duration(1)
		for pb.Next() {
			d = (d*7 + 13) % time.Second
			h.Observe(d)
		}
	})
}
