package main

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

// guestOutput takes what the simulator writes to stderr in an exact run: lines that
// begin with "t " are its trace, with "p " how far it is, and others are errors.
type guestOutput struct {
	trace    io.Writer
	progress func(at, total time.Duration)
	rest     []byte // an incomplete line
	errors   []byte
}

// Write implements io.Writer.
func (g *guestOutput) Write(b []byte) (int, error) {
	g.rest = append(g.rest, b...)
	for {
		line, rest, ok := bytes.Cut(g.rest, []byte("\n"))
		if !ok {
			g.rest = append([]byte(nil), g.rest...)
			return len(b), nil
		}
		g.rest = rest
		if err := g.line(line); err != nil {
			return 0, err
		}
	}
}

func (g *guestOutput) line(line []byte) error {
	switch {
	case bytes.HasPrefix(line, []byte("t ")):
		if g.trace != nil {
			_, err := g.trace.Write(append(line[2:len(line):len(line)], '\n'))
			return err
		}
	case bytes.HasPrefix(line, []byte("p ")):
		var at, total time.Duration
		if _, err := fmt.Sscanf(string(line[2:]), "%d %d", &at, &total); err == nil && g.progress != nil {
			g.progress(at, total)
		}
	case len(g.errors) < maxGuestErrors:
		g.errors = append(append(g.errors, line...), '\n')
	}
	return nil
}

// maxGuestErrors bounds what is kept of a simulator's errors, in bytes.
const maxGuestErrors = 2 << 10

// said gives the errors, to be put behind others.
func (g *guestOutput) said() string {
	if len(g.errors) == 0 && len(g.rest) == 0 {
		return ""
	}
	return ":\n" + string(g.errors) + string(g.rest)
}
