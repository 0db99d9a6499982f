package main

import (
	"io"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

// The forms of the log.
const (
	logConsole = "console"
	logJSON    = "json"
)

// logTime is how lines of the log show time: RFC 3339 to the millisecond.
const logTime = "2006-01-02T15:04:05.000Z07:00"

// logFlags say how a node logs.
type logFlags struct {
	level  zerolog.Level
	format string // empty: console on a terminal, else json
}

// add gives cmd the flags.
func (f *logFlags) add(cmd *cobra.Command) {
	levels := []string{"trace", "debug", "info", "warn", "error"}
	flagOf(cmd, &f.level, "log-level", "", "info", "log from this `level` on: trace, debug, info, warn or error",
		func(text string) (zerolog.Level, error) {
			for _, level := range levels {
				if text == level {
					return zerolog.ParseLevel(text)
				}
			}
			return zerolog.NoLevel, wantOneOf(levels)
		})
	completeChoices(cmd, "log-level", levels)
	choiceFlag(cmd, &f.format, "log-format", "", "",
		"`format` of the log: console for people or json for programs; without it, console on a terminal and json elsewhere", logConsole, logJSON)
}

// json tells whether the log on w is for programs.
func (f *logFlags) json(w io.Writer) bool {
	return f.format == logJSON || f.format == "" && !isTerminal(w)
}

// logger gives the logger that writes to w.
func (f *logFlags) logger(w io.Writer) zerolog.Logger {
	out := w
	if !f.json(w) {
		out = zerolog.ConsoleWriter{Out: w, NoColor: !colours(w), TimeFormat: "15:04:05.000"}
	}
	return zerolog.New(out).Level(f.level).Hook(stamp{})
}

// stamp adds the time to each line. zerolog's own stamp has whole seconds
// unless a global is changed.
type stamp struct{}

// Run implements zerolog.Hook.
func (stamp) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str(zerolog.TimestampFieldName, time.Now().Format(logTime))
}
