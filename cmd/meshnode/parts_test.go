package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

func TestTable(t *testing.T) {
	tab := newTable("NAME", ">N", "NOTE")
	tab.add("käse", "1", "")
	tab.add("b", "1,000", "x")
	got := strings.Join(tab.lines(), "\n")
	if want := "NAME      N  NOTE\nkäse      1\nb     1,000  x"; got != want {
		t.Errorf("table:\n%s\nwant:\n%s", got, want)
	}
}

func TestWriting(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{thousands(0), "0"},
		{thousands(999), "999"},
		{thousands(-1234567), "-1,234,567"},
		{thousands(int64(104334)), "104,334"},
		{percent(0.20159), "20.2%"},
		{brief(250 * time.Microsecond), "250 µs"},
		{brief(1842 * time.Microsecond), "1.84 ms"},
		{brief(18420 * time.Microsecond), "18.4 ms"},
		{brief(842 * time.Millisecond), "842 ms"},
		{brief(3210 * time.Millisecond), "3.21 s"},
		{age(59.9), "59s"},
		{age(192), "3m12s"},
		{age(5*3600 + 7*60), "5h07m"},
		{age(12*86400 + 3*3600), "12d03h"},
		{bar(0, 10), ""},
		{bar(1, 4), "████"},
		{bar(0.5, 3), "█▌"},
		{bar(7, 2), "██"},
		{oneLine("a\nb\x1b[31m\tc  d\n"), "a b [31m c d"},
		{printable("käse"), "käse"},
		{printable(" x"), `" x"`},
		{printable(""), `""`},
		{shorten("abcdef", 4), "abc…"},
		{shorten("abcd", 4), "abcd"},
		{shorten("abcd", 0), "…"},
		{dash(""), "-"},
	} {
		if c.got != c.want {
			t.Errorf("got %q; want %q", c.got, c.want)
		}
	}
}

// Quantiles are never below the true one, and at most 1 % above it.
func TestLatencies(t *testing.T) {
	const seed = 7
	random := rand.New(rand.NewPCG(seed, 0))
	for _, n := range []int{1, 2, 100, 5000} {
		var l latencies
		all := make([]time.Duration, n)
		for i := range all {
			all[i] = time.Duration(math.Exp(random.Float64()*25)) * time.Microsecond
			l.add(all[i])
		}
		slices.Sort(all)
		for _, q := range []float64{0, 0.5, 0.9, 0.99, 1} {
			exact := all[max(int(math.Ceil(q*float64(n))), 1)-1]
			if got := l.quantile(q); got < exact || float64(got) > 1.01*float64(exact) {
				t.Errorf("seed %d: quantile %v of %d is %v; want %v", seed, q, n, got, exact)
			}
		}
		if l.max != all[n-1] {
			t.Errorf("max is %v; want %v", l.max, all[n-1])
		}
	}
	var none latencies
	if none.quantile(0.5) != 0 {
		t.Error("a quantile of nothing is not 0")
	}
	for _, us := range []uint64{0, 1, 127, 128, 255, 256, 1 << 40, math.MaxUint64} {
		i := latencyBucket(us)
		if top := latencyCeiling(i); top < us || i > 0 && latencyCeiling(i-1) >= us {
			t.Errorf("%d µs is in bucket %d, which ends at %d", us, i, top)
		}
	}
}

func TestKeyReader(t *testing.T) {
	for _, c := range []struct {
		text  string
		keys  []string
		empty int
	}{
		{"", nil, 0},
		{"\n\r\n", nil, 2},
		{"a\nb\r\n\nc", []string{"a", "b", "c"}, 1},
		{" a \n\x00\n", []string{" a ", "\x00"}, 0},
	} {
		r := &keyReader{in: io.NopCloser(strings.NewReader(c.text))}
		var keys []string
		err := r.each(t.Context(), func(key string) error { keys = append(keys, key); return nil })
		if err != nil || !slices.Equal(keys, c.keys) || r.empty != c.empty {
			t.Errorf("%q gave %q, %d empty, %v", c.text, keys, r.empty, err)
		}
	}
	long := &keyReader{in: io.NopCloser(strings.NewReader("a\n" + strings.Repeat("x", maxKey+1)))}
	if err := long.each(t.Context(), func(string) error { return nil }); err == nil || !strings.Contains(err.Error(), "line 2 is longer") {
		t.Errorf("a line that is too long gave %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ended := &keyReader{in: io.NopCloser(strings.NewReader("a\n"))}
	if err := ended.each(ctx, func(string) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context it gave %v", err)
	}
}

func TestProgressLine(t *testing.T) {
	keys := &keyReader{in: io.NopCloser(strings.NewReader("abcd\nefgh\n")), size: 20}
	if err := keys.each(t.Context(), func(string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	got := progressLine(keys, 3000, 2, 2*time.Second)
	if want := "████████████            │  50%  3,000 keys  1,500/s  2 failed"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
	if got := progressLine(&keyReader{}, 10, 0, time.Second); got != "10 keys  10/s" {
		t.Errorf("without a size it is %q", got)
	}
}

func TestTally(t *testing.T) {
	tally := &tally{perNode: make(map[string]int)}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				tally.add("k", "n", time.Millisecond, nil)
				tally.add("k", "", time.Second, rpc.Errorf(rpc.Unavailable, "gone"))
				tally.add("k", "", time.Hour, rpc.AsError(context.Canceled))
			}
		})
	}
	wg.Wait()
	r := tally.report(2*time.Second, 0)
	if r.Total != 1600 || r.Failed != 800 || r.PerNode["n"] != 800 || r.CallsPerS != 800 || len(r.Failures) != shownFailures || r.MaxUS != 1e6 {
		t.Errorf("report is %+v", r)
	}
}

func TestCheckEcho(t *testing.T) {
	body, err := rpc.Encode(nil, &node.EchoReply{Node: "a", Data: []byte("k")})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		answer node.ForwardAnswer
		key    string
		ok     bool
	}{
		{node.ForwardAnswer{Node: "a", Body: body}, "k", true},
		{node.ForwardAnswer{Node: "b", Body: body}, "k", false},
		{node.ForwardAnswer{Node: "a", Body: body}, "other", false},
		{node.ForwardAnswer{Node: "a", Body: []byte{0xc1}}, "k", false},
		{node.ForwardAnswer{Node: "a", Code: rpc.NotFound}, "k", false},
	} {
		if _, err := checkEcho(&c.answer, c.key); (err == nil) != c.ok {
			t.Errorf("%+v for key %q gave %v", c.answer, c.key, err)
		}
	}
}

func TestPrefixed(t *testing.T) {
	var out bytes.Buffer
	w := &prefixed{prefix: "a: ", out: &out, mu: new(sync.Mutex)}
	for _, part := range []string{"one\ntw", "o", "\n\nthree"} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("Write gave %d, %v", n, err)
		}
	}
	if got := out.String(); got != "a: one\na: two\na: \n" {
		t.Errorf("got %q", got)
	}
}

func TestWithoutOurs(t *testing.T) {
	got := withoutOurs([]string{"A=1", "MESHNODE_JOIN=x", "XMESHNODE_Y=2"})
	if !slices.Equal(got, []string{"A=1", "XMESHNODE_Y=2"}) {
		t.Errorf("got %q", got)
	}
}
