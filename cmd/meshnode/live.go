package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

const liveInterval = 250 * time.Millisecond

// devLive shows the cluster until ctx ends or no process is left.
func (a *app) devLive(ctx context.Context, w *watcher, f *devFlags) error {
	show := a.viewFor(f)
	ticker := time.NewTicker(liveInterval)
	defer ticker.Stop()
	for {
		s := w.look(ctx)
		if ctx.Err() != nil {
			return nil // asked to stop
		}
		if err := show(s); err != nil {
			return err
		}
		if s.allEnded() {
			return failf(rpc.Unavailable, "no process is left; the last one %s", s.procs[len(s.procs)-1].condition())
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// viewFor picks how a cluster is shown: redrawn in place on a terminal, else
// one line for each change.
func (a *app) viewFor(f *devFlags) func(*sight) error {
	if a.json() {
		return (&jsonView{app: a}).show
	}
	if !isTerminal(a.stdout) || f.verbose {
		return (&lineView{app: a, known: make(map[string]string)}).show
	}
	c := &canvas{out: a.stdout, coloured: colours(a.stdout)}
	return func(s *sight) error {
		columns, rows, _ := terminalSize(a.stdout)
		return c.draw(liveLines(s), columns, rows)
	}
}

// liveRow is one member, or one process that is no member, as it is shown.
type liveRow struct {
	Name  string  `json:"name"`
	Addr  string  `json:"addr"`
	State string  `json:"state"`
	Share float64 `json:"share"`
	PID   int     `json:"pid,omitempty"`
	Table string  `json:"table,omitempty"` // the fingerprint of its table
	Note  string  `json:"note,omitempty"`  // how the process ended, or what it waits for
}

// The states of a process that is not listed as a member.
const (
	stateStarting = "starting"
	stateEnded    = "ended"
)

// rows gives the processes in order, and then members that others started.
func (s *sight) rows() []liveRow {
	rows := make([]liveRow, 0, len(s.procs))
	at := make(map[string]int)
	for i := range s.procs {
		p := &s.procs[i]
		row := liveRow{Name: p.name, Addr: p.addr, State: stateStarting, PID: p.cmd.Process.Pid}
		switch {
		case p.ended != "":
			row.State, row.Note, row.PID = stateEnded, p.condition(), 0
		case p.ping == nil:
			row.Note = "no answer yet"
		case !p.ping.Ready:
			row.Table, row.Note = p.ping.Fingerprint, p.condition()
		default:
			row.Table = p.ping.Fingerprint
		}
		at[p.name] = len(rows)
		rows = append(rows, row)
	}
	for _, m := range s.members {
		i, ours := at[m.Name]
		if !ours {
			i = len(rows)
			rows = append(rows, liveRow{Name: m.Name})
		}
		rows[i].Addr, rows[i].State, rows[i].Share = m.Addr, m.State, m.Share
	}
	return rows
}

// summary says in one line whether all agree.
func (s *sight) summary() string {
	running := 0
	for _, p := range s.procs {
		if p.ended == "" {
			running++
		}
	}
	fingerprint, have, ready := s.common()
	text := fmt.Sprintf("%d of %d processes run", running, len(s.procs))
	switch {
	case ready == 0:
		return text + ", none is ready yet"
	case ready < running:
		text += fmt.Sprintf(", %d are ready", ready)
	}
	if have == ready {
		return text + ", all agree on table " + fingerprint
	}
	return text + fmt.Sprintf(", %d of %d agree on table %s", have, ready, fingerprint)
}

// liveLine is a line of the view, coloured as a whole.
type liveLine struct{ text, colour string }

// liveLines gives the whole view.
func liveLines(s *sight) []liveLine {
	t := newTable("NAME", "STATE", "ADDRESS", ">SHARE", "", "TABLE", ">PID", "NOTE")
	rows := s.rows()
	for _, r := range rows {
		pid := ""
		if r.PID != 0 {
			pid = fmt.Sprint(r.PID)
		}
		t.add(r.Name, r.State, r.Addr, percent(r.Share), bar(r.Share, barWidth), r.Table[:min(8, len(r.Table))], pid, r.Note)
	}
	lines := []liveLine{{s.summary(), bold}, {}}
	for i, text := range t.lines() {
		colour := dim
		if i > 0 {
			colour = stateColour(rows[i-1].State)
		}
		lines = append(lines, liveLine{text, colour})
	}
	return append(lines, liveLine{}, liveLine{"Ctrl-C stops all. Try: meshnode route --keys FILE --addr " + s.procs[0].addr, dim})
}

// Colours, as terminals take them.
const (
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

func stateColour(state string) string {
	switch state {
	case stateDead, stateEnded:
		return red
	case stateSuspect, stateStarting:
		return yellow
	case stateLeft:
		return dim
	}
	return ""
}

// canvas draws lines over those that it drew before.
type canvas struct {
	out      io.Writer
	coloured bool
	widths   []int // of the lines drawn before
	last     string
}

// draw replaces what is there. A terminal that has become narrower has wrapped
// the old lines, so they take more rows than they did.
func (c *canvas) draw(lines []liveLine, columns, rows int) error {
	if most := max(rows-1, 1); len(lines) > most {
		lines = append(lines[:most-1:most-1], liveLine{text: fmt.Sprintf("… and %d more lines", len(lines)-most+1), colour: dim})
	}
	var b strings.Builder
	widths := make([]int, len(lines))
	for i, line := range lines {
		text := shorten(line.text, columns-1)
		widths[i] = len([]rune(text))
		if c.coloured && line.colour != "" {
			text = line.colour + text + plain
		}
		b.WriteString(text + "\n")
	}
	if b.String() == c.last {
		return nil
	}
	up := 0
	for _, width := range c.widths {
		up += max((width+columns-1)/columns, 1)
	}
	c.last, c.widths = b.String(), widths
	erase := ""
	if up > 0 {
		erase = fmt.Sprintf("\x1b[%dA\r\x1b[J", up)
	}
	_, err := io.WriteString(c.out, erase+c.last)
	return err
}
