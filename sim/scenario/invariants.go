package scenario

import (
	"fmt"
	"sync"
	"time"
)

// The invariants. Each is checked all along, and named in the result when it does
// not hold.
const (
	InvAgreement = "agreement"
	InvOwnership = "ownership"
	InvFailover  = "failover"
	InvOnce      = "once"
	InvDeadline  = "deadline"
	InvAlive     = "alive"
	InvMoves     = "moves"
	InvLeftover  = "leftovers"
	InvName      = "name"
	InvExpect    = "expectation"
)

// Invariants gives the names of all, with what each means.
func Invariants() []Checked {
	return []Checked{
		{Invariant: InvAgreement, Meaning: "within a bound after the last fault all live nodes route by one table, of exactly them"},
		{Invariant: InvOwnership, Meaning: "no node executes a call for a key that its own table gives to another, but as a stand-in"},
		{Invariant: InvFailover, Meaning: "a stand-in serves only keys whose owners before it really were in trouble"},
		{Invariant: InvOnce, Meaning: "no call that is not idempotent is executed twice"},
		{Invariant: InvDeadline, Meaning: "every call ends by its deadline"},
		{Invariant: InvAlive, Meaning: "within the bound no live node is missing from a live node's members"},
		{Invariant: InvMoves, Meaning: "keys move only where the members changed, and little more than must; a table is a function of its members"},
		{Invariant: InvLeftover, Meaning: "a process that ended leaves no goroutine and no memory behind"},
		{Invariant: InvName, Meaning: "a second process under a live node's name is refused"},
		{Invariant: InvExpect, Meaning: "the scenario's own expectations"},
	}
}

// checker counts what was looked at, and keeps what broke.
type checker struct {
	mu     sync.Mutex
	start  time.Time
	times  map[string]uint64
	broken map[string]*Broken
	order  []string
	first  func(Broken) // told the first time that each breaks; may be nil
}

func newChecker(start time.Time, first func(Broken)) *checker {
	return &checker{start: start, times: map[string]uint64{}, broken: map[string]*Broken{}, first: first}
}

// looked counts that an invariant was looked at and held.
func (c *checker) looked(invariant string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.times[invariant]++
}

// check counts a look, and notes that the invariant broke unless ok.
func (c *checker) check(invariant string, ok bool, format string, args ...any) {
	if ok {
		c.looked(invariant)
		return
	}
	c.broke(invariant, format, args...)
}

// broke notes that an invariant does not hold.
func (c *checker) broke(invariant, format string, args ...any) {
	c.mu.Lock()
	c.times[invariant]++
	b := c.broken[invariant]
	if b != nil {
		b.Count++
		c.mu.Unlock()
		return
	}
	b = &Broken{Invariant: invariant, AtS: time.Since(c.start).Seconds(), Detail: fmt.Sprintf(format, args...), Count: 1}
	c.broken[invariant] = b
	c.order = append(c.order, invariant)
	first := *b
	c.mu.Unlock()
	if c.first != nil {
		c.first(first)
	}
}

// report gives what broke, in the order in which it did, and what was looked at.
func (c *checker) report() (broken []Broken, checked []Checked) {
	c.mu.Lock()
	defer c.mu.Unlock()
	broken = []Broken{}
	for _, name := range c.order {
		broken = append(broken, *c.broken[name])
	}
	for _, inv := range Invariants() {
		inv.Times = c.times[inv.Invariant]
		checked = append(checked, inv)
	}
	return broken, checked
}
