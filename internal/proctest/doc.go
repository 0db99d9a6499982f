// Package proctest holds the tests that need real processes: it builds the
// daemon, starts clusters of it on loopback, kills, stops and restarts members
// by their process id, and checks what clients see. The tests stand behind the
// build tag process:
//
//	go test -tags process -v ./internal/proctest
//
// Each run prints the figures that it measured.
package proctest
