//go:build long

package scenario

import "testing"

func TestShippedCostly(t *testing.T) {
	noBubbles(t)
	for _, name := range costly() {
		t.Run(name, func(t *testing.T) { shippedHolds(t, name) })
	}
}

func TestRandomHoldsMore(t *testing.T) {
	noBubbles(t)
	randomHold(t, 10)
}
