//go:build !unix

package main

import (
	"os"
	"syscall"
)

// childAttributes are none: nothing is known of this system.
func childAttributes() *syscall.SysProcAttr { return nil }

// askToEnd ends a process at once: there is no way to ask.
func askToEnd(p *os.Process) error { return p.Kill() }
