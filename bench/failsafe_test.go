package main

import (
	"errors"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/hedgepolicy"
	"github.com/failsafe-go/failsafe-go/retrypolicy"

	"github.com/meshnode/meshnode/internal/admission"
	"github.com/meshnode/meshnode/internal/budget"
)

// BenchmarkPolicies is what policies cost a call that succeeds at once: those of
// failsafe-go, and what stands in their place here.
func BenchmarkPolicies(b *testing.B) {
	errNone := errors.New("none")
	result := 0
	call := func() (int, error) { return result, nil }
	executors := []struct {
		name     string
		policies []failsafe.Policy[int]
	}{
		{"retry", []failsafe.Policy[int]{retrypolicy.NewBuilder[int]().HandleErrors(errNone).WithMaxRetries(3).Build()}},
		{"breaker", []failsafe.Policy[int]{circuitbreaker.NewWithDefaults[int]()}},
		{"hedge", []failsafe.Policy[int]{hedgepolicy.NewWithDelay[int](time.Second)}},
		{"limiter", []failsafe.Policy[int]{adaptivelimiter.NewWithDefaults[int]()}},
	}
	for _, e := range executors {
		b.Run("failsafe/"+e.name, func(b *testing.B) {
			b.ReportAllocs()
			executor := failsafe.With(e.policies...)
			for b.Loop() {
				if _, err := executor.Get(call); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("failsafe/limiter-alone", func(b *testing.B) {
		b.ReportAllocs()
		l := adaptivelimiter.NewWithDefaults[int]()
		for b.Loop() {
			if permit, ok := l.TryAcquirePermit(); ok {
				permit.Record()
			}
		}
	})
	b.Run("failsafe/breaker-alone", func(b *testing.B) {
		b.ReportAllocs()
		c := circuitbreaker.NewWithDefaults[int]()
		for b.Loop() {
			if c.TryAcquirePermit() {
				c.RecordSuccess()
			}
		}
	})
	b.Run("ours/budget", func(b *testing.B) {
		b.ReportAllocs()
		tokens, now := budget.New(budget.Config{}), time.Duration(0)
		for b.Loop() {
			now += time.Microsecond
			tokens.Deposit(now, 1)
		}
	})
	b.Run("ours/admission", func(b *testing.B) {
		b.ReportAllocs()
		c, start := admission.New(admission.Config{}).Class(), time.Now()
		for b.Loop() {
			begun := time.Since(start)
			if ok, _ := c.Acquire(admission.Default); ok {
				now := time.Since(start)
				c.Release(now, now-begun, admission.Done)
			}
		}
	})
}
