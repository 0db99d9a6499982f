// Command simulator is what an exact run runs: it reads one scenario in YAML from
// standard input, plays it, and writes the result as JSON to standard output. To
// standard error go lines of the form "p AT TOTAL", in nanoseconds, now and then, and
// with the argument "trace" a line "t EVENT" for all that happens.
//
// Built for wasip1 and run by package exact, its clock is virtual and all its
// randomness comes from one seed, so that its output is the same in every run. It is
// an ordinary program all the same.
//
// # Concurrency
//
// One process is one run.
//
// # Failures
//
// What cannot be run gives a message on standard error and exit status 1. What broke
// is in the result.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/meshnode/meshnode/sim/scenario"
)

func main() {
	// A sample of the heap's profile taken in a timer's function ends Go 1.26 for
	// wasip1 ("invalid runtime symbol table"): its stack cannot be unwound there.
	runtime.MemProfileRate = 0
	if err := run(os.Stdin, os.Stdout, os.Stderr, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(stdin io.Reader, stdout, stderr io.Writer, args []string) error {
	s, err := scenario.Parse(stdin)
	if err != nil {
		return err
	}
	said := bufio.NewWriterSize(stderr, 64<<10)
	opts := scenario.Options{Progress: func(at, total time.Duration) {
		fmt.Fprintf(said, "p %d %d\n", int64(at), int64(total))
		_ = said.Flush() // who reads it may be gone
	}}
	if len(args) > 0 && args[0] == "trace" {
		opts.Trace = &lines{to: said}
	}
	r, err := scenario.Run(s, opts)
	if err != nil {
		return err
	}
	if err := said.Flush(); err != nil {
		return err
	}
	r.WallS, r.Ratio = 0, 0 // the host measures
	return json.NewEncoder(stdout).Encode(r)
}

// lines puts "t " before each line. Each Write is one.
type lines struct{ to *bufio.Writer }

// Write implements io.Writer.
func (l *lines) Write(b []byte) (int, error) {
	_, _ = l.to.WriteString("t ")
	return l.to.Write(b)
}
