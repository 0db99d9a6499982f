package pack

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"unsafe"

	"github.com/meshnode/meshnode/internal/wire"
)

// fewFields is how many fields are searched one by one.
const fewFields = 8

// field is one field that is encoded, of a struct or of one embedded in it. head
// is its name, encoded.
type field struct {
	*node
	name   string
	head   string
	offset uintptr // from the struct, or from what the last of hops points to
	hops   []hop   // embedded pointers on the way
	omit   bool    // when it is empty
	zero   func(p unsafe.Pointer) bool
}

// hop is an embedded pointer to a struct.
type hop struct {
	offset uintptr // as field's
	typ    reflect.Type
	hidden bool // the type's name is not exported
}

// candidate is a field that a name may stand for.
type candidate struct {
	tag
	reflect.StructField
	index  []int
	offset uintptr
	hops   []hop
}

// level is a struct whose fields are collected, with the way to it.
type level struct {
	typ    reflect.Type
	index  []int
	offset uintptr
	hops   []hop
}

// planStruct plans a struct with the fields that encoding/json would find.
func (c *compiler) planStruct(t reflect.Type) (*node, error) {
	n := &node{op: opStruct, typ: t, plain: true, index: make(map[string]int)}
	found, err := c.dominant(t)
	if err != nil {
		return nil, err
	}
	whole := c.wholeTag(t)
	n.asArray = whole.asArray
	for i := range found {
		f, err := c.field(&found[i], whole)
		if err != nil {
			return nil, atField(err, found[i].Name)
		}
		n.add(f)
		for _, name := range found[i].aliases {
			if _, taken := n.index[name]; !taken {
				n.index[name] = i
			}
		}
	}
	if len(n.fields) <= fewFields && len(n.index) == len(n.fields) {
		n.index = nil
	}
	if len(n.fields) > 0 { // an empty map is no level
		n.height++
	}
	return n, nil
}

func (n *node) add(f field) {
	n.index[f.name] = len(n.fields)
	n.fields = append(n.fields, f)
	n.bytes, n.maps, n.plain = n.bytes || f.bytes, n.maps || f.maps, n.plain && f.plain
	n.omits = n.omits || f.omit || f.zero != nil || f.hops != nil
	n.height = max(n.height, f.height)
}

func (c *compiler) field(from *candidate, whole tag) (field, error) {
	n, err := c.compile(from.Type)
	if err != nil {
		return field{}, err
	}
	f := field{
		node: n, name: from.name, head: string(wire.AppendStr(nil, from.name)), offset: from.offset, hops: from.hops,
		omit: from.omitEmpty || whole.omitEmpty,
	}
	if from.omitZero {
		var calls bool
		if f.zero, calls = zeroOf(from.Type); calls { // code of the program's, which may panic
			shared := *n
			shared.plain = false
			f.node = &shared
		}
	}
	return f, nil
}

// dominant returns the fields of t in their order: for each name the one that is
// nested least in embedded structs, and of those the one whose tag has the name.
// Two that are left are an error, and so are two fields of one name in one struct.
func (c *compiler) dominant(t reflect.Type) ([]candidate, error) {
	all, err := c.collect(t)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		tagged := 0
		if a.tagged != b.tagged {
			tagged = 1
			if a.tagged {
				tagged = -1
			}
		}
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(len(a.index), len(b.index)), tagged)
	})
	var out []candidate
	for i := 0; i < len(all); {
		first, next := &all[i], i+1
		for next < len(all) && all[next].name == first.name {
			next++
		}
		for j := i + 1; j < next; j++ {
			if first.rivals(&all[j]) {
				return nil, fmt.Errorf("the fields %s and %s have one name, %q", goPath(t, first.index), goPath(t, all[j].index), first.name)
			}
		}
		out = append(out, *first)
		i = next
	}
	slices.SortFunc(out, func(a, b candidate) int { return slices.Compare(a.index, b.index) })
	return out, nil
}

// rivals reports whether neither of two fields of one name hides the other; c is
// the one that comes first.
func (c *candidate) rivals(o *candidate) bool {
	depth := len(c.index)
	return len(o.index) == depth && (c.tagged == o.tagged || slices.Equal(c.index[:depth-1], o.index[:depth-1]))
}

// goPath is the name of a field of t with those of the structs it is embedded in.
func goPath(t reflect.Type, index []int) string {
	path := ""
	for i, at := range index {
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if i > 0 {
			path += "."
		}
		path += t.Field(at).Name
		t = t.Field(at).Type
	}
	return path
}

// collect returns all fields of t and of the structs embedded in it, level by
// level. A struct that is embedded on several levels counts on the first; twice
// on one level, its fields hide each other.
func (c *compiler) collect(t reflect.Type) ([]candidate, error) {
	var out []candidate
	visited := map[reflect.Type]bool{}
	for next := []level{{typ: t}}; len(next) > 0; {
		current := next
		next = nil
		count := map[reflect.Type]int{}
		for _, l := range current {
			count[l.typ]++
		}
		for _, l := range current {
			if visited[l.typ] && count[l.typ] == 1 {
				continue
			}
			visited[l.typ] = true
			for i := range l.typ.NumField() {
				f, inner, err := c.visit(&l, i)
				if err != nil {
					return nil, err
				}
				if f != nil {
					out = append(out, *f)
				}
				if inner != nil && !visited[inner.typ] {
					next = append(next, *inner)
				}
			}
		}
	}
	return out, nil
}

// visit looks at one field of a level: it is encoded under its name, or its own
// fields are, or neither.
func (c *compiler) visit(l *level, i int) (*candidate, *level, error) {
	f := l.typ.Field(i)
	to := f.Type
	if to.Name() == "" && to.Kind() == reflect.Pointer {
		to = to.Elem()
	}
	if !f.IsExported() && !(f.Anonymous && to.Kind() == reflect.Struct) {
		return nil, nil, nil
	}
	tag, skip, err := c.tag(f)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", f.Name, err)
	}
	if skip {
		return nil, nil, nil
	}
	index := append(slices.Clone(l.index), i)
	flatten := f.Anonymous && !tag.tagged && !tag.noInline && to.Kind() == reflect.Struct
	if !flatten || c.encodesItself(to) {
		if !f.IsExported() {
			return nil, nil, nil
		}
		return &candidate{tag: tag, StructField: f, index: index, offset: l.offset + f.Offset, hops: l.hops}, nil, nil
	}
	inner := &level{typ: to, index: index, offset: l.offset + f.Offset, hops: l.hops}
	if f.Type.Kind() == reflect.Pointer {
		inner.hops = append(slices.Clone(l.hops), hop{offset: inner.offset, typ: to, hidden: !f.IsExported()})
		inner.offset = 0
	}
	return nil, inner, nil
}

// at returns where the field lies in the struct that p points to, nil if an
// embedded pointer on the way is nil.
func (f *field) at(p unsafe.Pointer) unsafe.Pointer {
	for i := range f.hops {
		if p = *(*unsafe.Pointer)(unsafe.Add(p, f.hops[i].offset)); p == nil {
			return nil
		}
	}
	return unsafe.Add(p, f.offset)
}

// make is at for a field that arrives: what is missing on the way is made.
func (f *field) make(p unsafe.Pointer) (unsafe.Pointer, error) {
	for i := range f.hops {
		h := &f.hops[i]
		to := (*unsafe.Pointer)(unsafe.Add(p, h.offset))
		if *to == nil {
			if h.hidden {
				return nil, fmt.Errorf("it is in an embedded pointer to %v, whose name is not exported", h.typ)
			}
			*to = reflect.New(h.typ).UnsafePointer()
		}
		p = *to
	}
	return unsafe.Add(p, f.offset), nil
}

// find returns the field of that name, or nil. Senders mostly write the fields in
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
