package membership

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// logWriter passes memberlist's log lines on. Its errors are about single
// packets and streams, so none is more than a warning here.
type logWriter struct {
	log   zerolog.Logger
	muted atomic.Bool // after Stop, when timers of memberlist may still run
}

// linesPerSecond bounds each level, whatever arrives from outside.
const linesPerSecond = 20

func newLogWriter(log zerolog.Logger) *logWriter {
	burst := func() zerolog.Sampler {
		return &zerolog.BurstSampler{Burst: linesPerSecond, Period: time.Second}
	}
	return &logWriter{log: log.Sample(zerolog.LevelSampler{
		DebugSampler: burst(), InfoSampler: burst(), WarnSampler: burst(),
	})}
}

// Write takes one line of the form "[LEVEL] memberlist: text".
func (w *logWriter) Write(line []byte) (int, error) {
	if w.muted.Load() {
		return len(line), nil
	}
	level, text := zerolog.DebugLevel, line
	if tag, rest, ok := bytes.Cut(line, []byte("] ")); ok && len(tag) > 0 && tag[0] == '[' {
		text = rest
		switch string(tag[1:]) {
		case "ERR", "ERROR", "WARN":
			level = zerolog.WarnLevel
		case "INFO":
			level = zerolog.InfoLevel
		}
	}
	text = bytes.TrimPrefix(bytes.TrimSpace(text), []byte("memberlist: "))
	if routine(text) {
		level = zerolog.DebugLevel
	}
	w.log.WithLevel(level).Str("from", "gossip").Msg(string(text))
	return len(line), nil
}

// routine reports whether a line tells of what happens whenever a node comes back under its name:
// others still spread the end of its former process, or what that said of itself. A refuted
// suspicion is another matter, since this node was too slow then.
func routine(text []byte) bool {
	return bytes.HasPrefix(text, []byte("Refuting a dead ")) || bytes.HasPrefix(text, []byte("Refuting an alive "))
}

// throttle lets each key pass once per period.
type throttle struct {
	period time.Duration

	mu   sync.Mutex
	last map[string]time.Time
}

// throttleKeys bounds the keys that are remembered.
const throttleKeys = 1024

// allow tells whether something about key may be said at now.
func (t *throttle) allow(key string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last, ok := t.last[key]; ok && now.Sub(last) < t.period {
		return false
	}
	if t.last == nil || len(t.last) >= throttleKeys {
		t.last = make(map[string]time.Time)
	}
	t.last[key] = now
	return true
}
