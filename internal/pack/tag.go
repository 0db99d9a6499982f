package pack

import (
	"fmt"
	"reflect"
	"strings"
	"unsafe"
)

// tag is what a field's tag says.
type tag struct {
	name      string
	aliases   []string // further names under which it is read
	tagged    bool     // the name is the tag's
	omitEmpty bool
	omitZero  bool
	noInline  bool
	asArray   bool
}

// tag reads a field's tag: a name, then options, separated by commas. Options
// that nobody knows are passed over. skip says that it is not encoded.
func (c *compiler) tag(f reflect.StructField) (t tag, skip bool, err error) {
	cfg := &c.types.cfg
	text := f.Tag.Get(cfg.Tag)
	if text == "" && cfg.Fallback != "" {
		text = f.Tag.Get(cfg.Fallback)
	}
	if text == "-" {
		return tag{}, true, nil
	}
	name, options, err := cutName(text)
	if err != nil {
		return tag{}, false, err
	}
	t = tag{name: name, tagged: name != ""}
	if !t.tagged {
		t.name = f.Name
	}
	for option := range strings.SplitSeq(options, ",") {
		switch option = strings.TrimSpace(option); option {
		case "omitempty":
			t.omitEmpty = true
		case "omitzero":
			t.omitZero = true
		case "noinline":
			t.noInline = true
		case "as_array", "asArray":
			t.asArray = true
		default:
			if alias, ok := strings.CutPrefix(option, "alias:"); ok {
				t.aliases = append(t.aliases, strings.Trim(alias, "'"))
			}
		}
	}
	return t, false, nil
}

// cutName parts the name from the options. A name in single quotes may have
// commas.
func cutName(text string) (name, options string, err error) {
	quoted, ok := strings.CutPrefix(text, "'")
	if !ok {
		name, options, _ = strings.Cut(text, ",")
		return name, options, nil
	}
	name, options, ok = strings.Cut(quoted, "'")
	if !ok || options != "" && options[0] != ',' {
		return "", "", fmt.Errorf("its tag has a quote without an end: %s", text)
	}
	return name, strings.TrimPrefix(options, ","), nil
}

// wholeTag is what the field _msgpack says about the struct that has it.
func (c *compiler) wholeTag(t reflect.Type) tag {
	f, ok := t.FieldByName("_" + c.types.cfg.Tag)
	if !ok {
		return tag{}
	}
	whole, _, _ := c.tag(f)
	return whole
}

// empty reports whether omitempty leaves out the value that p points to: false,
// 0, nil, and lists, maps and strings without elements. Structs are never empty,
// and a value in an interface counts whatever it is.
func (n *node) empty(p unsafe.Pointer) bool {
	switch n.op {
	case opBool, opInt8, opUint8:
		return *(*uint8)(p) == 0
	case opInt16, opUint16:
		return *(*uint16)(p) == 0
	case opInt32, opUint32:
		return *(*uint32)(p) == 0
	case opInt64, opUint64:
		return *(*uint64)(p) == 0
	case opFloat32:
		return *(*float32)(p) == 0
	case opFloat64:
		return *(*float64)(p) == 0
	case opString:
		return *(*string)(p) == ""
	case opBytes, opStrings, opSlice:
		return (*sliceHeader)(p).len == 0
	case opByteArray, opArray:
		return n.count == 0
	case opPointer, opAny, opInterface, opError: // an interface's first word is its type
		return *(*unsafe.Pointer)(p) == nil
	case opStringMap, opMap:
		return reflect.NewAt(n.typ, p).Elem().Len() == 0
	case opOwn:
		return emptyKind(reflect.NewAt(n.typ, p).Elem())
	}
	return false
}

// emptyKind is empty for a type that encodes itself, which counts by its kind.
func emptyKind(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero() || v.CanFloat() && v.Float() == 0
}

type isZeroer interface{ IsZero() bool }

// zeroOf returns what decides for omitzero: the type's own IsZero, if it has
// one, else whether all is zero. calls says that it is the type's own.
func zeroOf(t reflect.Type) (zero func(p unsafe.Pointer) bool, calls bool) {
	own := reflect.TypeFor[isZeroer]()
	value := func(p unsafe.Pointer) reflect.Value { return reflect.NewAt(t, p).Elem() }
	switch {
	case t.Implements(own) && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface):
		return func(p unsafe.Pointer) bool {
			v := value(p)
			return v.IsNil() || t.Kind() == reflect.Interface && v.Elem().Kind() == reflect.Pointer && v.Elem().IsNil() ||
				v.Interface().(isZeroer).IsZero()
		}, true
	case reflect.PointerTo(t).Implements(own):
		return func(p unsafe.Pointer) bool { return reflect.NewAt(t, p).Interface().(isZeroer).IsZero() }, true
	}
	return func(p unsafe.Pointer) bool { return value(p).IsZero() }, false
}
