package ledger

import (
	"testing"
	"time"
)

// crashesOf returns how often the process died with a call.
func crashesOf(t testing.TB, l *Ledger, c Call) int {
	t.Helper()
	n, err := l.Crashes(c)
	check(t, err)
	return n
}

// accuse notes a crash with a call, and returns how many there are now.
func accuse(t testing.TB, l *Ledger, c Call) int {
	t.Helper()
	n, err := l.Accuse(t.Context(), []Call{c})
	check(t, err)
	return n[0]
}

// TestAccuse counts crashes over restarts, for each call and each expiry, until it is acquitted. What was executed, or
// is elsewhere, is not counted.
func TestAccuse(t *testing.T) {
	l := fresh(t, 2, Config{Retention: time.Minute})
	a, b, elsewhere := call(0, "a"), call(1, "b"), call(7, "c")
	same(t, "before", crashesOf(t, l, a), 0)
	same(t, "looked for", l.accused.Load(), false)
	for n := range 3 {
		same(t, "a", accuse(t, l, a), n+1)
		l = reopen(t, l)
		same(t, "a again", crashesOf(t, l, a), n+1)
	}
	same(t, "b", crashesOf(t, l, b), 0)
	same(t, "elsewhere", accuse(t, l, elsewhere), 0)
	later := a
	later.Expires = a.Expires.Add(time.Hour) // tried anew
	same(t, "later", crashesOf(t, l, later), 0)
	same(t, "later", accuse(t, l, later), 1)
	check(t, l.Acquit(t.Context(), later))
	same(t, "acquitted", crashesOf(t, l, later), 0)
	do(t, l, b, add("x", 1))
	same(t, "executed", accuse(t, l, b), 0)
	same(t, "a", accuse(t, l, a), 1)
	n, err := l.Purge(t.Context(), a.Expires.Add(time.Hour))
	check(t, err)
	same(t, "purged", n, 2) // crashes of a, and the outcome of b
	same(t, "a", crashesOf(t, l, a), 0)
	l = reopen(t, l)
	same(t, "looked for", l.accused.Load(), false)
}

// TestCrashesMove has crashes go with their partition.
func TestCrashesMove(t *testing.T) {
	from, to := fresh(t, 1, Config{}), open(t, t.TempDir()+"/ledger", Config{})
	a := call(0, "a")
	same(t, "a", accuse(t, from, a), 1)
	epoch, err := from.Give(t.Context(), 0, "to")
	check(t, err)
	c, err := from.Export(0, nil, 1<<20)
	check(t, err)
	check(t, to.Import(t.Context(), 0, epoch, c))
	same(t, "a there", crashesOf(t, to, a), 1)
	same(t, "a there", accuse(t, to, a), 2)
}
