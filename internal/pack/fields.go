package pack

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/meshnode/meshnode/internal/wire"
)

// fewFields is how many fields are searched one by one.
const fewFields = 8

func (c *compiler) planStruct(t reflect.Type) (*node, error) {
	n := &node{op: opStruct, typ: t, index: make(map[string]int)}
	for i := range t.NumField() {
		f, ok, err := c.field(t.Field(i))
		if err != nil {
			return nil, fmt.Errorf("%v.%s: %w", t, t.Field(i).Name, err)
		}
		if !ok {
			continue
		}
		if _, ok := n.index[f.name]; ok {
			return nil, fmt.Errorf("%v has two fields %q", t, f.name)
		}
		n.index[f.name] = len(n.fields)
		n.fields = append(n.fields, f)
		n.bytes = n.bytes || f.bytes
		n.omits = n.omits || f.omit
		n.height = max(n.height, f.height)
	}
	if len(n.fields) <= fewFields {
		n.index = nil
	}
	if len(n.fields) > 0 { // an empty map is no level
		n.height++
	}
	return n, nil
}

// field gives the plan of one field; false: it isn't encoded.
func (c *compiler) field(f reflect.StructField) (field, bool, error) {
	if f.Name == "_msgpack" { // its tag is about the whole struct
		return field{}, false, errCustom
	}
	name, omit, err := c.tag(f)
	switch {
	case err != nil:
		return field{}, false, err
	case name == "-":
		return field{}, false, nil
	case f.Anonymous:
		return field{}, false, errors.New("it is embedded")
	case !f.IsExported():
		return field{}, false, nil
	}
	if omit && f.Type.Implements(reflect.TypeFor[interface{ IsZero() bool }]()) {
		return field{}, false, errors.New("it says itself when it is empty")
	}
	if name == "" {
		name = f.Name
	}
	n, err := c.compile(f.Type)
	if err != nil {
		return field{}, false, err
	}
	return field{node: n, name: name, head: string(wire.AppendStr(nil, name)), offset: f.Offset, omit: omit}, true, nil
}

// tag reads a field's tag. Only its plain form, "name,option,option", is
// understood: others have quotes, colons or spaces.
func (c *compiler) tag(f reflect.StructField) (name string, omit bool, err error) {
	text := f.Tag.Get(c.Tag)
	if text == "" && c.Fallback != "" {
		text = f.Tag.Get(c.Fallback)
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`':\()`, r) }); i >= 0 {
		return "", false, fmt.Errorf("its tag has %q", text[i])
	}
	name, options, _ := strings.Cut(text, ",")
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "omitempty":
			omit = true
		case "inline", "noinline", "alias", "intern", "as_array", "asArray":
			return "", false, fmt.Errorf("its tag has option %s", option)
		}
	}
	return name, omit, nil
}

// find gives the field of that name, or nil. Senders mostly write the fields in
// order, so the one behind the last is tried first; next is that one's index.
func (n *node) find(name []byte, next *int) *field {
	if i := *next; i < len(n.fields) && n.fields[i].name == string(name) {
		*next++
		return &n.fields[i]
	}
	if n.index != nil {
		i, ok := n.index[string(name)]
		if !ok {
			return nil
		}
		*next = i + 1
		return &n.fields[i]
	}
	for i := range n.fields {
		if n.fields[i].name == string(name) {
			*next = i + 1
			return &n.fields[i]
		}
	}
	return nil
}
