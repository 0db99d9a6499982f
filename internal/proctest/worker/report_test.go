package main

import (
	"testing"
	"time"
)

// What counts after a kill: answers of another node to calls that were due after
// it, and the slowest call that the kill can have struck.
func TestMeant(t *testing.T) {
	kill := time.Unix(1000, 0)
	call := func(owner string, byOwner bool, began, ended int) outcome {
		at := func(ms int) time.Time { return kill.Add(time.Duration(ms) * time.Millisecond) }
		return outcome{began: at(began), ended: at(ended), owner: owner, byOwner: byOwner}
	}
	tests := []struct {
		name              string
		done              []outcome
		recovered, waited float64
	}{
		{"no call", nil, -1, 0},
		{"only other keys", []outcome{call("b", true, 1, 90)}, -1, 0},
		{"answered before", []outcome{call("a", true, -9, -1)}, -1, 0},
		{"under way", []outcome{call("a", false, -20, 10)}, -1, 30},
		{"the killed still answers", []outcome{call("a", true, 1, 2), call("a", false, 3, 15)}, 15, 12},
		{"the first of two", []outcome{call("a", false, 3, 40), call("a", false, 4, 10)}, 10, 37},
		{"long after", []outcome{call("a", false, 1001, 1900)}, -1, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			recovered, waited := mark{name: "a", at: kill}.meant(test.done)
			if recovered != test.recovered || waited != test.waited {
				t.Errorf("recovered after %v ms, waited %v ms; want %v and %v", recovered, waited, test.recovered, test.waited)
			}
		})
	}
}

// A client whose calls all failed says so of each kill.
func TestFinishWithoutCalls(t *testing.T) {
	r := Report{Calls: 3, Failed: 3}
	r.finish(nil, []mark{{name: "a", at: time.Unix(1, 0)}})
	if len(r.Recovered) != 1 || r.Recovered[0] != -1 || r.Max != 0 {
		t.Errorf("%+v", r)
	}
}
