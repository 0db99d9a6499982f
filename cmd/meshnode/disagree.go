package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// What an error names of many nodes.
const (
	shownNames = 3 // of one condition
	shownCamps = 4 // conditions
)

// camp is the processes that are in one condition.
type camp struct {
	key   string
	all   string // what several of them do
	names []string
	first *procSight
}

// disagreement is the error that says what keeps the processes from agreeing, in a few
// words however many they are.
func (s *sight) disagreement(patience time.Duration, failed bool) error {
	what := "the nodes did not agree within " + brief(patience)
	if failed {
		what = "a process ended before all agreed"
	}
	camps := s.camps()
	parts := make([]string, 0, shownCamps+1)
	for i, c := range camps {
		if i == shownCamps {
			parts = append(parts, fmt.Sprintf("and %s more are in other conditions", plural(s.rest(camps[i:]), "process", "processes")))
			break
		}
		parts = append(parts, c.text(len(s.procs)))
	}
	return failf(rpc.DeadlineExceeded, "%s: %s", what, strings.Join(parts, "; "))
}

func (s *sight) rest(camps []camp) (n int) {
	for _, c := range camps {
		n += len(c.names)
	}
	return n
}

// camps sorts the processes by their conditions: those that ended first, then by size.
func (s *sight) camps() []camp {
	var camps []camp
	for i := range s.procs {
		p := &s.procs[i]
		key, all := p.kind()
		at := slices.IndexFunc(camps, func(c camp) bool { return c.key == key })
		if at < 0 {
			at = len(camps)
			camps = append(camps, camp{key: key, all: all, first: p})
		}
		camps[at].names = append(camps[at].names, p.name)
	}
	slices.SortStableFunc(camps, func(a, b camp) int {
		if a.first.ended != "" || b.first.ended != "" {
			return strings.Compare(b.first.ended, a.first.ended)
		}
		return len(b.names) - len(a.names)
	})
	return camps
}

// kind returns what makes a process's condition the same as another's, and what several
// such processes do.
func (p *procSight) kind() (key, all string) {
	switch {
	case p.ended != "":
		return "ended", "have ended"
	case p.ping == nil:
		return "silent", "do not answer"
	case !p.ping.Ready:
		return "joining", "are not ready"
	}
	all = fmt.Sprintf("are ready, see %d members, have table %s", p.ping.Members, p.ping.Fingerprint)
	return fmt.Sprintf("%s %d %s", all, p.ping.Owners, p.ping.MembersDigest), all
}

// text says how many of all processes are in the camp, and what the first one says of it.
func (c *camp) text(all int) string {
	if len(c.names) == 1 {
		return c.names[0] + " " + c.first.condition()
	}
	text := fmt.Sprintf("%d of %d %s: %s", len(c.names), all, c.all, listed(c.names, shownNames))
	if c.first.ping != nil && c.first.ping.Ready {
		return text
	}
	return text + " (" + c.names[0] + " " + c.first.condition() + ")"
}
