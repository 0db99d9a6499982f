//go:build !unix

package main

import "time"

// cpuTime is what this process has used so far; this system isn't asked.
func cpuTime() (time.Duration, bool) { return 0, false }
