package rpc

import (
	"context"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCallPolicyOr(t *testing.T) {
	t.Parallel()
	base := CallPolicy{Timeout: time.Second, Retries: 2, Backoff: 1, MaxBackoff: 2, Hedge: NoHedge, Spill: NoSpill}
	if got := (CallPolicy{}).Or(base); got != base {
		t.Errorf("nothing said: %+v", got)
	}
	own := CallPolicy{Timeout: time.Hour, Retries: NoRetries, Hedge: HedgeP95, Spill: 1.5}
	want := CallPolicy{Timeout: time.Hour, Retries: NoRetries, Backoff: 1, MaxBackoff: 2, Hedge: HedgeP95, Spill: 1.5}
	if got := own.Or(base); got != want {
		t.Errorf("some said: %+v", got)
	}
}

func TestPolicyOptions(t *testing.T) {
	t.Parallel()
	s := NewMethod[[]byte, []byte]("t.Policy", DefaultTimeout(time.Second), Hedge(time.Millisecond),
		WithPolicy(CallPolicy{Retries: 5, Timeout: 2 * time.Second}), WithPriority(Critical), Unlimited()).Spec()
	if want := (CallPolicy{Timeout: 2 * time.Second, Retries: 5, Hedge: time.Millisecond}); s.Policy() != want {
		t.Errorf("the policy is %+v, want %+v", s.Policy(), want)
	}
	if s.Priority() != Critical || !s.Unlimited() || s.Timeout() != 2*time.Second {
		t.Errorf("priority %v, unlimited %v, timeout %v", s.Priority(), s.Unlimited(), s.Timeout())
	}
	for p, name := range map[Priority]string{PriorityDefault: "default", Critical: "critical", Sheddable: "sheddable", 9: "default"} {
		if p.String() != name {
			t.Errorf("priority %d is called %s, want %s", p, p, name)
		}
	}
}

// What the options say reaches the caller, whichever comes first.
func TestPolicyCallOptions(t *testing.T) {
	t.Parallel()
	m := NewMethod[[]byte, []byte]("t.Options")
	for _, opts := range [][]CallOption{
		{Key("k"), Balance(Bounded), OwnerOnly(), AtPriority(Sheddable)},
		{AtPriority(Sheddable), OwnerOnly(), Balance(Bounded), Key("k")},
	} {
		_, err := m.Call(context.Background(), callerFunc(func(_ context.Context, c *Call) error {
			if want := (Dest{Kind: ToKey, Key: "k", Policy: Bounded}); c.Dest != want {
				t.Errorf("the destination is %+v, want %+v", c.Dest, want)
			}
			if !c.OwnerOnly || !c.Prioritised || c.Priority != Sheddable {
				t.Errorf("the call is %+v", c)
			}
			return nil
		}), nil, opts...)
		if err != nil {
			t.Error(err)
		}
	}
}

// callerFunc carries calls by a function.
type callerFunc func(ctx context.Context, c *Call) error

func (f callerFunc) Invoke(ctx context.Context, c *Call) error { return f(ctx, c) }

func (callerFunc) Targets(context.Context, Dest) ([]string, error) { return nil, nil }

// A time to try again is never less, after it has travelled, than what was said.
func TestPushbackTravels(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, math.MaxInt64/2).Draw(t, "after"))
		got := RetryAfterOf(Errorf(Unavailable, "down").After(d).Pushback())
		if got != NeverRetry && (got < d || got > d+time.Millisecond) {
			t.Fatalf("%v became %v", d, got)
		}
		if got == NeverRetry && d < 40*24*time.Hour {
			t.Fatalf("%v became never", d)
		}
	})
	if got := RetryAfterOf(Errorf(Unavailable, "down").After(NeverRetry).Pushback()); got != NeverRetry {
		t.Errorf("never became %v", got)
	}
	first := Errorf(Unavailable, "down")
	if later := first.After(time.Second); first.RetryAfter != 0 || later.RetryAfter != time.Second || later.Message != "down" {
		t.Errorf("%+v became %+v", first, later)
	}
}
