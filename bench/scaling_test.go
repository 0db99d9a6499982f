package main

import (
	"io"
	"math"
	"strings"
	"testing"
	"time"
)

// memberlist's functions, by values worked out by hand.
func TestFunctionsOfMemberlist(t *testing.T) {
	for n, want := range map[float64]float64{9: 8, 10: 16, 99: 16, 100: 24, 999: 24, 1000: 32, 10_000: 40, 100_000: 48} {
		if got := retransmits(n); got != want {
			t.Errorf("%v members: news is sent %v times, want %v", n, got, want)
		}
	}
	for n, want := range map[int]time.Duration{
		1: 30 * time.Second, 32: 30 * time.Second, 33: time.Minute, 64: time.Minute, 65: 90 * time.Second,
		1000: 3 * time.Minute, 10_000: 5 * time.Minute, 100_000: 390 * time.Second,
	} {
		if got := pushPullEvery(n); got != want {
			t.Errorf("%v members: a push/pull every %v, want %v", n, got, want)
		}
	}
	if got := dropping(1000); math.Abs(got-14.1) > 1e-9 {
		t.Errorf("1000 members: the first notices after %v s, want 14.1", got)
	}
}

func TestMeasureTable(t *testing.T) {
	r, err := measureTable(20, 1<<10)
	if err != nil || r.NewS <= 0 || r.WithS <= 0 || r.Bytes < 2<<10 || r.Peak < 1 || r.Peak > 1.1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// madeUp are rows that follow laws exactly.
func madeUp() []simRow {
	var rows []simRow
	for _, nodes := range []int{10, 100, 300} {
		n := float64(nodes)
		rows = append(rows, simRow{
			Nodes: nodes, FormS: 1 + n/100, FormBytes: 100 * n * retransmits(n), FormPeak: mostGossip(n), FormStreams: 200 * n, FormSeed: 60 * n * n,
			QuietS: 5, IdleBytes: 104, IdlePackets: 2, SyncBytes: 70 + 186*n, SyncEvery: pushPullEvery(nodes).Seconds(),
			SyncRate: (70 + 186*n) / pushPullEvery(nodes).Seconds(), Crashes: 1, First: dropping(n),
			All: dropping(n) + 0.03*rounds(n), CrashBytes: 180 * retransmits(n), Join: quietFor(n) + 0.08*rounds(n),
			JoinBytes: 200 * retransmits(n), Askers: n * n / 1e6,
		})
	}
	return rows
}

func TestLawsOfMadeUpRows(t *testing.T) {
	laws, err := meshLaws(madeUp())
	if err != nil {
		t.Fatal(err)
	}
	far := map[string]float64{}
	for _, l := range laws {
		if len(l.Sizes) > 0 && l.Residual > 1e-6 {
			t.Errorf("%s: off by %v, function %s", l.Name, l.Residual, l.Function)
		}
		far[l.Name] = l.Far[len(l.Far)-1]
	}
	for name, want := range map[string]float64{
		"push/pull of a node": (70 + 186e5) / 390, "a crash: until all have": 22 + 10 + 0.03*math.Log2(1e5),
		"one returns: streams of all": (8 + 4*1e4) * (70 + 186e5) / 2,
	} {
		if got := far[name]; math.Abs(got-want) > 1e-6*want {
			t.Errorf("%s at 100,000: %v, want %v", name, got, want)
		}
	}
	wellFormed(t, drawScaling(laws))
}

func TestFlagsOfScaling(t *testing.T) {
	o, err := parse([]string{"--scaling"}, io.Discard)
	if err != nil || len(o.sizes) != 5 || o.sizes[4] != 300 {
		t.Errorf("%v, %v", o.sizes, err)
	}
	if o, err = parse([]string{"--scaling", "--quick"}, io.Discard); err != nil || len(o.sizes) != 3 {
		t.Errorf("%v, %v", o.sizes, err)
	}
	for _, sizes := range []string{"10", "2,10", "10,100000"} {
		if _, err := parse([]string{"--scaling", "--sizes", sizes}, io.Discard); err == nil || !strings.Contains(err.Error(), "--sizes") {
			t.Errorf("--sizes %s: %v", sizes, err)
		}
	}
}
