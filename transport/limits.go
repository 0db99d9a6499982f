package transport

import (
	"errors"
	"fmt"
	"time"
)

// setDefaults fills in what is zero, and says which field cannot be meant.
func (l *Limits) setDefaults() error {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&l.WriteTimeout, DefaultWriteTimeout},
		{&l.HandshakeTimeout, DefaultHandshakeTimeout},
		{&l.DialTimeout, DefaultDialTimeout},
		{&l.Keepalive, DefaultKeepalive},
		{&l.KeepaliveTimeout, DefaultKeepaliveTimeout},
		{&l.StallTimeout, DefaultStallTimeout},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if l.IdleTimeout == 0 {
		l.IdleTimeout = DefaultIdleTimeout
	}
	for _, n := range []struct {
		name         string
		field        *int
		value, least int
	}{
		{"MaxBody", &l.MaxBody, DefaultMaxBody, 1 << 10},
		{"MaxCalls", &l.MaxCalls, DefaultMaxCalls, 1},
		{"MaxConns", &l.MaxConns, DefaultMaxConns, 1},
		{"MaxServed", &l.MaxServed, DefaultMaxServed, 1},
		{"MaxIncomplete", &l.MaxIncomplete, DefaultMaxIncomplete, 1},
		{"MaxQueued", &l.MaxQueued, DefaultMaxQueued, 1},
		{"MaxUnread", &l.MaxUnread, DefaultMaxUnread, 1},
		{"Window", &l.Window, DefaultWindow, minWindow},
		{"ConnWindow", &l.ConnWindow, DefaultConnWindow, minWindow},
	} {
		if *n.field == 0 {
			*n.field = n.value
		}
		if *n.field < n.least {
			return fmt.Errorf("transport: %s is %d; want %d or more", n.name, *n.field, n.least)
		}
	}
	switch {
	case l.MaxBody > MaxMaxBody:
		return errors.New("transport: MaxBody must be at most 1 GiB")
	case int64(l.Window) > maxCredit || int64(l.ConnWindow) > maxCredit:
		return errors.New("transport: a window must be at most 2 GiB")
	}
	l.MaxIncomplete = max(l.MaxIncomplete, l.MaxBody)
	return nil
}
