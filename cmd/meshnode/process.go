package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// process is one node of dev, in a process of its own.
type process struct {
	name, addr string
	args       []string

	cmd  *exec.Cmd
	log  *os.File      // nil: shown only
	done chan struct{} // closed when the process has ended and how is known
}

// fleet is all processes of dev.
type fleet struct {
	program string
	all     []*process
	logDir  string    // empty: no files
	shown   io.Writer // takes what the processes log; nil: nobody
	mu      sync.Mutex
}

// start starts all processes, or none.
func (f *fleet) start() error {
	started := make(chan error)
	go func() {
		// The processes live no longer than this thread, where the system
		// can see to that; so it stays until they have ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := f.startEach()
		started <- err
		for _, p := range f.all {
			if p.cmd != nil && p.cmd.Process != nil {
				<-p.done
			}
		}
	}()
	err := <-started
	if err != nil {
		f.stop(0)
	}
	return err
}

func (f *fleet) startEach() error {
	for _, p := range f.all {
		if err := f.startOne(p); err != nil {
			return fmt.Errorf("cannot start %s: %w", p.name, err)
		}
	}
	return nil
}

func (f *fleet) startOne(p *process) error {
	cmd := exec.Command(f.program, p.args...)
	cmd.Env = withoutOurs(os.Environ())
	cmd.SysProcAttr = childAttributes()
	if f.logDir != "" {
		log, err := os.Create(filepath.Join(f.logDir, p.name+".log"))
		if err != nil {
			return err
		}
		p.log, cmd.Stderr = log, log
	}
	if f.shown != nil {
		cmd.Stderr = &prefixed{prefix: p.name + " │ ", out: f.shown, mu: &f.mu}
		if p.log != nil {
			cmd.Stderr = io.MultiWriter(p.log, cmd.Stderr)
		}
	}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, p.closeLog())
	}
	p.cmd, p.done = cmd, make(chan struct{})
	go func() {
		_ = cmd.Wait() // cmd.ProcessState tells the same
		_ = p.closeLog()
		close(p.done)
	}()
	return nil
}

func (p *process) closeLog() error {
	if p.log == nil {
		return nil
	}
	return p.log.Close()
}

// running tells whether the process has been started and has not ended.
func (p *process) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// ending says how the process ended; empty while it runs.
func (p *process) ending() string {
	if p.cmd == nil || p.running() {
		return ""
	}
	return p.cmd.ProcessState.String()
}

// lastWords is the last line that the process logged. It is empty if none is
// kept, or if the process did not end by itself for a reason.
func (p *process) lastWords() string {
	if p.log == nil || p.cmd.ProcessState.ExitCode() <= 0 {
		return ""
	}
	text, err := os.ReadFile(p.log.Name())
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return oneLine(string(lines[len(lines)-1]))
}

// stop ends all processes, and gives them so long for it. The first one goes
// last, so that the others have somebody to tell that they leave. It returns
// when none is left, with the names of those that had to be killed.
func (f *fleet) stop(patience time.Duration) (killed []string) {
	late := time.After(patience)
	return append(end(f.all[1:], late), end(f.all[:1], late)...)
}

// end asks processes to end, and kills what remains when late comes.
func end(procs []*process, late <-chan time.Time) (killed []string) {
	for _, p := range procs {
		if p.running() && askToEnd(p.cmd.Process) != nil {
			_ = p.cmd.Process.Kill()
		}
	}
	for _, p := range procs {
		if p.cmd == nil {
			continue
		}
		select {
		case <-p.done:
			continue
		case <-late:
			late = time.After(0) // for the others too
		}
		if p.running() {
			_ = p.cmd.Process.Kill()
			killed = append(killed, p.name)
		}
		<-p.done
	}
	return killed
}

// withoutOurs strips an environment of this program's variables: they are
// meant for dev, not for the nodes that it starts.
func withoutOurs(environ []string) []string {
	var kept []string
	for _, pair := range environ {
		if !strings.HasPrefix(pair, envPrefix) {
			kept = append(kept, pair)
		}
	}
	return kept
}

// prefixed writes whole lines with a prefix. Several may share out and mu.
type prefixed struct {
	prefix  string
	out     io.Writer
	mu      *sync.Mutex
	pending []byte
}

// Write implements io.Writer.
func (w *prefixed) Write(b []byte) (int, error) {
	w.pending = append(w.pending, b...)
	for {
		line, rest, whole := bytes.Cut(w.pending, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		w.mu.Lock()
		_, err := fmt.Fprintf(w.out, "%s%s\n", w.prefix, line)
		w.mu.Unlock()
		if err != nil {
			return 0, err
		}
		w.pending = append(w.pending[:0], rest...)
	}
}
