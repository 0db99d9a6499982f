package disk

import (
	"os"
	"path/filepath"
	"testing"
)

// What stands in the lock file is for people: anything may.
func TestLockFileOfAnything(t *testing.T) {
	for text, want := range map[string]int{"": 0, "x": 0, " 17": 17, " 17                  \n": 17, " -4": 0, " 99999999999999999999999": 0, "\x00\xff\xff": 0} {
		name := filepath.Join(t.TempDir(), "LOCK")
		if err := os.WriteFile(name, []byte(text), fileMode); err != nil {
			t.Fatal(err)
		}
		if got := readPID(name); got != want {
			t.Errorf("%q gives %d, want %d", text, got, want)
		}
	}
}
