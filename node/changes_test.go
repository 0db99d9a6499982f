package node

import (
	"fmt"
	"slices"
	"testing"

	"github.com/meshnode/meshnode/membership"
)

// What two lists of members differ in, whatever comes first or last.
func TestEachChange(t *testing.T) {
	list := func(names ...string) (members []membership.Member) {
		for _, name := range names {
			m := membership.Member{Name: name[:1], Boot: 1}
			if len(name) > 1 {
				m.Boot = 2
			}
			members = append(members, m)
		}
		return members
	}
	for _, c := range []struct{ old, next, want []string }{
		{nil, nil, nil},
		{nil, []string{"a", "b"}, []string{"+a", "+b"}},
		{[]string{"a", "b"}, nil, []string{"-a", "-b"}},
		{[]string{"a", "b", "c"}, []string{"a", "b", "c"}, nil},
		{[]string{"b", "c"}, []string{"a", "b", "c", "d"}, []string{"+a", "+d"}},
		{[]string{"a", "b", "c", "d"}, []string{"b", "c"}, []string{"-a", "-d"}},
		{[]string{"a", "c", "d"}, []string{"b", "c2", "e"}, []string{"-a", "+b", "=c", "-d", "+e"}},
		{[]string{"a"}, []string{"a2"}, []string{"=a"}},
	} {
		var got []string
		eachChange(list(c.old...), list(c.next...), func(was, now *membership.Member) {
			switch {
			case was == nil:
				got = append(got, "+"+now.Name)
			case now == nil:
				got = append(got, "-"+was.Name)
			default:
				got = append(got, fmt.Sprintf("=%s", now.Name))
			}
		})
		if !slices.Equal(got, c.want) {
			t.Errorf("%v to %v: %v, want %v", c.old, c.next, got, c.want)
		}
	}
}
