package main

import (
	"fmt"
	"slices"
	"time"
)

// lineView prints a line for each change.
type lineView struct {
	app     *app
	known   map[string]string // by name: what was said of it last
	summary string
}

func (v *lineView) show(s *sight) error {
	now := time.Now().Format("15:04:05.000")
	var lines []string
	for _, r := range s.rows() {
		said := r.State + r.Addr + r.Note
		if v.known[r.Name] == said {
			continue
		}
		v.known[r.Name] = said
		line := fmt.Sprintf("%s  %-8s %-8s %s", now, r.Name, r.State, r.Addr)
		if r.PID != 0 {
			line += fmt.Sprintf("  pid %d", r.PID)
		}
		if r.Note != "" {
			line += "  " + r.Note
		}
		lines = append(lines, line)
	}
	if summary := s.summary(); summary != v.summary {
		v.summary = summary
		lines = append(lines, now+"  "+summary)
	}
	return v.app.printLines(lines...)
}

// jsonView prints one JSON object for each change.
type jsonView struct {
	app  *app
	last []liveRow
}

// liveJSON is the cluster as programs read it.
type liveJSON struct {
	At          time.Time `json:"at"`
	Fingerprint string    `json:"fingerprint"` // that most have
	Agree       int       `json:"agree"`       // processes that have it
	Ready       int       `json:"ready"`
	Members     []liveRow `json:"members"`
}

func (v *jsonView) show(s *sight) error {
	rows := s.rows()
	if slices.Equal(rows, v.last) {
		return nil
	}
	v.last = rows
	fingerprint, have, ready := s.common()
	return v.app.printJSONLine(liveJSON{
		At: time.Now().UTC(), Fingerprint: fingerprint, Agree: have, Ready: ready, Members: rows,
	})
}
