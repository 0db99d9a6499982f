package scenario

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
)

// ParseWith is Parse of a file with some of its values replaced: each of set is
// KEY=VALUE, where KEY is the path of a value in the file, such as nodes,
// workload.rate or timeline.0.at, and VALUE is YAML. Both the file and what comes
// of it must be right.
func ParseWith(text []byte, set []string) (*Scenario, error) {
	s, err := Parse(bytes.NewReader(text))
	if err != nil || len(set) == 0 {
		return s, err
	}
	var doc any
	if err := yaml.UnmarshalWithOptions(text, &doc, yaml.UseOrderedMap()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrScenario, err)
	}
	for _, one := range set {
		key, value, ok := strings.Cut(one, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("%w: %q; want KEY=VALUE, such as workload.rate=500", ErrScenario, one)
		}
		var v any
		if err := yaml.UnmarshalWithOptions([]byte(value), &v, yaml.UseOrderedMap()); err != nil {
			return nil, fmt.Errorf("%w: the value of %s is no YAML: %q", ErrScenario, key, value)
		}
		if doc, err = put(doc, strings.Split(key, "."), v); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrScenario, key, err)
		}
	}
	changed, err := yaml.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrScenario, err)
	}
	s, err = Parse(bytes.NewReader(changed))
	if err != nil {
		return nil, fmt.Errorf("with %s: %w", strings.Join(set, ", "), err)
	}
	return s, nil
}

// put gives doc with a value at a path. Mappings that are missing are made.
func put(doc any, path []string, value any) (any, error) {
	if len(path) == 0 {
		return value, nil
	}
	switch d := doc.(type) {
	case nil:
		inner, err := put(nil, path[1:], value)
		return yaml.MapSlice{{Key: path[0], Value: inner}}, err
	case yaml.MapSlice:
		for i := range d {
			if fmt.Sprint(d[i].Key) == path[0] {
				inner, err := put(d[i].Value, path[1:], value)
				d[i].Value = inner
				return d, err
			}
		}
		inner, err := put(nil, path[1:], value)
		return append(d, yaml.MapItem{Key: path[0], Value: inner}), err
	case []any:
		var i int
		if _, err := fmt.Sscanf(path[0], "%d", &i); err != nil || i < 0 || i >= len(d) {
			return nil, fmt.Errorf("%q is no place in a list of %d", path[0], len(d))
		}
		inner, err := put(d[i], path[1:], value)
		d[i] = inner
		return d, err
	}
	return nil, fmt.Errorf("%q is not a part of %v", path[0], doc)
}
