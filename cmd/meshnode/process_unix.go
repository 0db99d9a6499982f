//go:build unix && !linux

package main

import (
	"os"
	"syscall"
)

// childAttributes puts a process into a group of its own, so that Ctrl-C on a
// terminal reaches its parent only.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// askToEnd makes a process end in its own way.
func askToEnd(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
