package scenario

import "testing"

// noBubbles skips, aloud, what runs bubbles of testing/synctest under the race
// detector, which they can crash.
func noBubbles(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("SKIPPED under -race: bubbles of testing/synctest can crash the race detector (golang/go issue 76691)")
	}
}
