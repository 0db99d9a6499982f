//go:build long

package transport

import "testing"

func TestDrainUnderMoreLoad(t *testing.T) { drainUnderLoad(t, 15) }
