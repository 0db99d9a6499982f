package main

import (
	"os"
	"syscall"
)

// childAttributes puts a process into a group of its own, so that Ctrl-C on a
// terminal reaches its parent only, and has the kernel end it with its parent,
// however that ends. The kernel takes the thread that starts the process for
// its parent: it must live on.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// askToEnd makes a process end in its own way.
func askToEnd(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
