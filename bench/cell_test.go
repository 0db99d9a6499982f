package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a peer whose calls take a time, virtual in all tests but those
// without one, and may fail.
type fake struct {
	took  time.Duration
	reply func(body []byte) ([]byte, error)
}

func (f fake) Caller(body []byte) func() ([]byte, error) {
	return func() ([]byte, error) {
		<-time.After(f.took)
		return f.reply(body)
	}
}

func (fake) Close() {}

func same(body []byte) ([]byte, error) { return body, nil }

// TestMeasure runs on a virtual clock, where every figure is exact.
func TestMeasure(t *testing.T) {
	for _, callers := range []int{1, 64} {
		synctest.Test(t, func(t *testing.T) {
			c := cell{"fake", 64, callers}
			s, err := measure(t.Context(), fake{time.Millisecond, same}, c, timing{10 * time.Millisecond, time.Second})
			if err != nil {
				t.Fatal(err)
			}
			want := float64(callers) * 1000
			if s.callsPerSecond < want*0.99 || s.callsPerSecond > want*1.01 {
				t.Errorf("%v: %v calls/s, want about %v", c, s.callsPerSecond, want)
			}
			for _, q := range []time.Duration{s.p50, s.p99} {
				if q < time.Millisecond || q > time.Millisecond*65/64 {
					t.Errorf("%v: quantile %v, want 1 ms", c, q)
				}
			}
		})
	}
}

// TestMeasureWaitsForAll has calls that take longer than the time to warm up.
func TestMeasureWaitsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := measure(t.Context(), fake{time.Second, same}, cell{"fake", 64, 16}, timing{time.Millisecond, 10 * time.Second})
		if err != nil || s.callsPerSecond < 14 || s.callsPerSecond > 17 {
			t.Errorf("%v calls/s, %v; want about 16", s.callsPerSecond, err)
		}
	})
}

func TestMeasureFails(t *testing.T) {
	broken := errors.New("broken")
	for name, reply := range map[string]func([]byte) ([]byte, error){
		"broken":      func([]byte) ([]byte, error) { return nil, broken },
		"wrong reply": func(body []byte) ([]byte, error) { return body[1:], nil },
		"bytes 41":    func(body []byte) ([]byte, error) { return append([]byte("A"), body[1:]...), nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			_, err := measure(t.Context(), fake{time.Millisecond, reply}, cell{"fake", 64, 4}, timing{time.Millisecond, time.Second})
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("error %v, want one with %q", err, name)
			}
		})
	}
}

// TestMeasureHangs has a peer that loses a reply.
func TestMeasureHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := fake{2 * lost, same}
		_, err := measure(t.Context(), never, cell{"fake", 64, 2}, timing{time.Millisecond, time.Second})
		if err == nil || !strings.Contains(err.Error(), "first reply") {
			t.Errorf("error %v, want one that says what is waited for", err)
		}
	})
}

func TestMeasureCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := measure(ctx, fake{0, same}, cell{"fake", 64, 2}, timing{time.Hour, time.Hour})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want Canceled", err)
	}
}

func TestBodiesDiffer(t *testing.T) {
	seen := make(map[string]bool)
	for i := range 512 {
		body := bodyOf(64, i)
		seen[string(body[0])+string(body[63])] = true
	}
	if len(seen) != 512 {
		t.Errorf("%d different bodies of 512", len(seen))
	}
}
