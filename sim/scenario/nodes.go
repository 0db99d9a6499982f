package scenario

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// Nodes says which nodes: numbers and ranges ("3", "0-4"), "first", "last", parts
// of all ("1/3", the last third), "zone:a", "random:2" (by the seed), "all"; or a
// list of these. A scenario that names parts suits any number of nodes.
type Nodes []string

// UnmarshalYAML takes a scalar or a list.
func (n *Nodes) UnmarshalYAML(text []byte) error {
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		return err
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	*n = nil
	for _, one := range list {
		word := strings.TrimSpace(fmt.Sprint(one))
		if _, err := pick(word, 1<<16, nil, nil); err != nil {
			return err
		}
		*n = append(*n, word)
	}
	return nil
}

// MarshalYAML gives a scalar for one, else a list.
func (n Nodes) MarshalYAML() ([]byte, error) {
	if len(n) == 1 {
		return []byte(quoted(n[0])), nil
	}
	words := make([]string, len(n))
	for i, w := range n {
		words[i] = quoted(w)
	}
	return []byte("[" + strings.Join(words, ", ") + "]"), nil
}

// quoted keeps what looks like something else in YAML a string.
func quoted(word string) string {
	if _, err := strconv.Atoi(word); err == nil || !strings.ContainsAny(word, ":/") {
		return word
	}
	return strconv.Quote(word)
}

// resolve gives the indexes that n stands for among count nodes, ascending.
func (n Nodes) resolve(count int, zoneOf func(int) string, rnd *rand.Rand) ([]int, error) {
	var all []int
	for _, word := range n {
		some, err := pick(word, count, zoneOf, rnd)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// pick gives what one word stands for. Without zoneOf it only checks the word.
func pick(word string, count int, zoneOf func(int) string, rnd *rand.Rand) ([]int, error) {
	kind, arg, _ := strings.Cut(word, ":")
	switch {
	case word == "all":
		return span(0, count), nil
	case word == "first":
		return span(0, 1), nil
	case word == "last":
		return span(count-1, count), nil
	case kind == "zone" && arg != "":
		var in []int
		for i := range count {
			if zoneOf != nil && zoneOf(i) == arg {
				in = append(in, i)
			}
		}
		if zoneOf != nil && len(in) == 0 {
			return nil, fmt.Errorf("no node is in zone %q", arg)
		}
		return in, nil
	case kind == "random":
		k, err := strconv.Atoi(arg)
		if err != nil || k < 1 || k > count {
			return nil, fmt.Errorf("%q: want random:K with K of 1 to %d", word, count)
		}
		if rnd == nil {
			return nil, nil
		}
		return rnd.Perm(count)[:k], nil
	}
	if part, of, ok := strings.Cut(word, "/"); ok {
		a, err1 := strconv.Atoi(part)
		b, err2 := strconv.Atoi(of)
		if err1 != nil || err2 != nil || a < 1 || b < a {
			return nil, fmt.Errorf("%q: want a part such as 1/3", word)
		}
		return span(count-max(1, count*a/b), count), nil
	}
	return pickRange(word, count)
}

// pickRange gives "3" or "0-4".
func pickRange(word string, count int) ([]int, error) {
	from, to, ok := strings.Cut(word, "-")
	if !ok {
		to = from
	}
	a, err1 := strconv.Atoi(from)
	b, err2 := strconv.Atoi(to)
	if err1 != nil || err2 != nil || a < 0 || b < a {
		return nil, fmt.Errorf(`%q names no nodes; want numbers, ranges (0-4), first, last, a part (1/3), zone:NAME, random:K or all`, word)
	}
	if b >= count {
		return nil, fmt.Errorf("%q: there are %d nodes, 0 to %d", word, count, count-1)
	}
	return span(a, b+1), nil
}

func span(from, to int) []int {
	all := make([]int, 0, max(to-from, 0))
	for i := max(from, 0); i < to; i++ {
		all = append(all, i)
	}
	return all
}
