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

// Leftovers tells what processes that ended at least grace ago have left behind:
// goroutines by where they are, and nodes that are still in memory. It runs the
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
	for process, stacks := range goroutinesByProcess(c.id()) {
		if _, ended := gone[process]; ended {
			found = append(found, fmt.Sprintf("%s left %s", process, strings.Join(stacks, "; ")))
		}
	}
	runtime.GC()
	runtime.GC() // what the first one only found to be of no more use
	for process, r := range gone {
		if r.node.Value() != nil {
			found = append(found, process+" is still in memory")
		}
	}
	sort.Strings(found)
	return found
}

// Ended is how many processes are gone.
func (c *Cluster) Ended() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.ended)
}

// goroutinesByProcess gives, for each process of a cluster, how many goroutines are
// where.
func goroutinesByProcess(id string) map[string][]string {
	var b bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&b, 1) // a buffer takes everything
	found := map[string][]string{}
	label := regexp.MustCompile(`"` + processLabel + `":"` + id + `([^"]+)"`)
	for _, record := range strings.Split(b.String(), "\n\n") {
		m := label.FindStringSubmatch(record)
		if m == nil {
			continue
		}
		count, _, _ := strings.Cut(strings.TrimSpace(record), " ")
		found[m[1]] = append(found[m[1]], count+" goroutine(s) in "+placeOf(record))
	}
	return found
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
