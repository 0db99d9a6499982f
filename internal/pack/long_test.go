//go:build long

package pack

import "testing"

// Five times as many pairs as TestOddInput.
func TestOddInputMore(t *testing.T) { oddInput(t, 5) }
