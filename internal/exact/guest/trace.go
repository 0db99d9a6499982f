package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"
)

// trace is what has happened, line by line, each with the time since the start
// in nanoseconds. Lines go to out and into the hash, in the order of add.
type trace struct {
	start time.Time
	out   io.Writer

	mu     sync.Mutex
	hash   hash.Hash
	line   []byte
	events int
}

func newTrace(out io.Writer) *trace {
	return &trace{start: time.Now(), out: out, hash: sha256.New()}
}

// add adds one line.
func (t *trace) add(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.line = fmt.Appendf(t.line[:0], "%d ", time.Since(t.start))
	t.line = fmt.Appendf(t.line, format, args...)
	t.line = append(t.line, '\n')
	t.hash.Write(t.line)
	_, _ = t.out.Write(t.line) // out keeps its error until it is flushed
	t.events++
}

func (t *trace) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.events
}

// sum gives the hash of all lines so far.
func (t *trace) sum() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.hash.Sum(nil)
}

// writer gives a writer whose writes are lines of the trace, for a log.
func (t *trace) writer(name string) io.Writer { return logWriter{t, name} }

type logWriter struct {
	trace *trace
	name  string
}

func (w logWriter) Write(b []byte) (int, error) {
	w.trace.add("log %s %s", w.name, bytes.TrimSpace(b))
	return len(b), nil
}
