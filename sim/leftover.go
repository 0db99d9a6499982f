package sim

import (
	"bytes"
	"fmt"
	"regexp"
	"runtime"
	"runtime/pprof"
	"sort"
	"strings"
	"time"
	"weak"

	"github.com/meshnode/meshnode/node"
)

// processLabel marks the goroutines of a node's process in profiles. Goroutines
// inherit it from who starts them.
const processLabel = "sim-process"

// remains is a process that is gone.
type remains struct {
	process string
	node    weak.Pointer[node.Node]
	at      time.Time
}

func remainsOf(process string, n *node.Node, at time.Time) remains {
	return remains{process: process, node: weak.Make(n), at: at}
}

// Leftovers tells what processes that ended at least grace ago have left behind, and
// what to do about it: goroutines by where they are, and nodes that are still in
// memory. The runtime does not say who holds a node; what is known is whether the
// process has goroutines left, and which goroutines are nobody's. It runs the
// garbage collector and looks at all goroutines, which takes a while.
//
// memberlist's goroutines end a few probe intervals after their process, and
// timers of its suspicions with them; grace should be a minute or more.
func (c *Cluster) Leftovers(grace time.Duration) []string {
	c.mu.Lock()
	gone := map[string]remains{}
	for _, r := range c.ended {
		if time.Since(r.at) >= grace {
			gone[r.process] = r
		}
	}
	c.mu.Unlock()
	if len(gone) == 0 {
		return nil
	}
	var found []string
	at := whereGoroutinesAre(c.id())
	for process, stacks := range at.byProcess {
		if _, ended := gone[process]; ended {
			found = append(found, fmt.Sprintf("%s left %s: %s", process, strings.Join(stacks, "; "), endWithNode))
		}
	}
	runtime.GC()
	runtime.GC() // what the first one only found to be of no more use
	for process, r := range gone {
		if r.node.Value() != nil {
			found = append(found, process+" is still in memory: "+at.holder(process))
		}
	}
	sort.Strings(found)
	return found
}

// endWithNode is what to do about goroutines.
const endWithNode = "what Setup and handlers start is to end once the node's Done is closed; an outbox.Box is closed then"

// holder says what may hold the node of a process that ended.
func (g *goroutines) holder(process string) string {
	if len(g.byProcess[process]) > 0 {
		return "the goroutines that it left may hold its node"
	}
	text := "it has no goroutine left, so a variable, a field or a closure holds its node, or what was made for it: a client, a stream, a timer, an outbox.Box that was not closed"
	if len(g.others) > 0 {
		text += fmt.Sprintf("; goroutines of no process that may be the ones: %s", strings.Join(g.others, "; "))
	}
	return text + ". Let go of it when the process ends"
}

// Ended is how many processes are gone.
func (c *Cluster) Ended() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.ended)
}

// goroutines is which goroutines there are: how many, and where.
type goroutines struct {
	byProcess map[string][]string
	others    []string // of no process, nor the simulator's or package testing's
}

// whereGoroutinesAre looks at all goroutines, for a cluster.
func whereGoroutinesAre(id string) *goroutines {
	var b bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&b, 1) // a buffer takes everything
	found := &goroutines{byProcess: map[string][]string{}}
	label := regexp.MustCompile(`"` + processLabel + `":"` + id + `([^"]+)"`)
	for _, record := range strings.Split(b.String(), "\n\n") {
		count, _, _ := strings.Cut(strings.TrimSpace(record), " ")
		what := count + " goroutine(s) in " + placeOf(record)
		if m := label.FindStringSubmatch(record); m != nil {
			found.byProcess[m[1]] = append(found.byProcess[m[1]], what)
		} else if strings.Contains(record, "\n#\t") && !strings.Contains(record, processLabel) && !background(record) {
			found.others = append(found.others, what)
		}
	}
	return found
}

// background tells of a goroutine that runs whatever a test does.
func background(record string) bool {
	for _, of := range []string{"\ttesting.", "\ttesting/", "\truntime.main", "/internal/simtime.", "\truntime/pprof.", "\tos/signal.", "/sim.(*Cluster)."} {
		if strings.Contains(record, of) {
			return true
		}
	}
	return false
}

// placeOf gives the function of ours or of a library where a goroutine of a
// record is: the first that is not the runtime's.
func placeOf(record string) string {
	for _, line := range strings.Split(record, "\n") {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] != "#" || fields[1] == "labels:" {
			continue
		}
		name := fields[2]
		if !strings.HasPrefix(name, "runtime.") && !strings.HasPrefix(name, "sync.") && !strings.HasPrefix(name, "internal/") && !strings.HasPrefix(name, "time.") {
			return name
		}
	}
	return "an unknown place"
}
