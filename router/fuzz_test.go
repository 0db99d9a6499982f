package router

import (
	"errors"
	"math"
	"slices"
	"testing"
)

// decodeMembers reads members and parameters from bytes: two bytes of
// parameters, then per member the length of its name, the name, a zone and a
// weight. Most inputs are valid.
func decodeMembers(data []byte) ([]Member, Params) {
	next := func() byte {
		if len(data) == 0 {
			return 0
		}
		b := data[0]
		data = data[1:]
		return b
	}
	params := Params{Partitions: 1 << (4 + next()%6), SlackPermille: int(next()) * 4}
	var members []Member
	for len(data) > 0 && len(members) < 64 {
		n := min(int(next()%5), len(data))
		m := Member{Name: string(data[:n])}
		data = data[n:]
		m.Zone = string("\x00abc"[next()%4])
		switch w := next(); w {
		case 255:
			m.Weight = math.NaN()
		case 254:
			m.Weight = math.Inf(-1)
		default:
			m.Weight = float64(w) * 0.4 // 0 to 101.2
		}
		members = append(members, m)
	}
	return members, params
}

func FuzzNew(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x00\x00\x01a\x00\x00\x01b\x01\x05"))
	f.Add([]byte("\x05\x0c\x02n1\x00\x03\x02n2\x01\x03\x02n3\x02\x03\x02n4\x03\x09\x02n5\x00\x03"))
	f.Add([]byte("\x02\x01\x01a\x00\x00\x01a\x00\x00"))
	f.Add([]byte("\x02\xff\x00\x00\x00\x01x\x00\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		members, params := decodeMembers(data)
		table, err := New(members, params)
		if err != nil {
			known := []error{ErrNoName, ErrDuplicateName, ErrWeight, ErrSlack}
			if table != nil || !slices.ContainsFunc(known, func(k error) bool { return errors.Is(err, k) }) {
				t.Fatalf("New = %v, %v", table, err)
			}
			return
		}
		checkTable(t, table)
		slices.Reverse(members)
		again, err := New(members, params)
		if err != nil || !slices.Equal(again.place().primary, table.place().primary) || again.Fingerprint() != table.Fingerprint() {
			t.Fatalf("members in reverse give another table: %v, %v", again, err)
		}
	})
}
