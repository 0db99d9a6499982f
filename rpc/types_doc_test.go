package rpc

import (
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// documented is a row of the table in docs/types.md: values of its types, and the bodies to try
// where those for all types do not do.
type documented struct {
	values []any
	bodies map[string]string // by kind
}

func rows() map[string]documented {
	type object struct{ A int }
	addr := netip.MustParseAddr("192.0.2.1")
	return map[string]documented{
		"`bool`": {values: []any{true, false}},
		"`int8`, `int16`, `int32`, `int64`, `int`": {values: []any{int8(-5), int16(5), int32(5), int64(1 << 40), 5}},
		"`uint8`, `uint16`, `uint32`, `uint64`, `uint`, `uintptr`": {
			values: []any{uint8(5), uint16(5), uint32(5), uint64(5), uint(5), uintptr(5)},
		},
		"`float32`, `float64`": {values: []any{float32(0.5), 0.5}},
		"`string`":             {values: []any{"", "text"}},
		"`[]byte`, `[n]byte`":  {values: []any{[]byte("x"), [3]byte{1, 2, 3}}},
		"`[]T`, `[n]T`":        {values: []any{[]int{1}, [1]uint16{1}, []string{}, []any{}}, bodies: map[string]string{"array": "\x90"}},
		"`map[string]T`":       {values: []any{map[string]int{"A": 1}, map[string]any{}}},
		"`map[K]T`":            {values: []any{map[int]int{1: 1}, map[bool]string{true: "x"}}, bodies: map[string]string{"map": "\x80"}},
		"struct":               {values: []any{object{1}, &object{2}}},
		"`time.Time`":          {values: []any{time.Unix(5, 0), time.Time{}, time.Unix(1<<40, 7)}, bodies: map[string]string{"str": "\xb42026-02-03T04:05:06Z"}},
		"`time.Duration`":      {values: []any{time.Hour}},
		"`error`":              {values: []any{struct{ E error }{errors.New("text")}}},
		"with `MarshalBinary`": {values: []any{addr}, bodies: map[string]string{"bin": "\xc4\x04\xc0\x00\x02\x01", "str": "\xa9192.0.2.1"}},
		"with `MarshalText`":   {values: []any{big.NewInt(5)}, bodies: map[string]string{"str": "\xa17", "bin": "\xc4\x017"}},
	}
}

// kinds are a body of each kind.
func kinds() map[string]string {
	return map[string]string{
		"nil": "\xc0", "bool": "\xc3", "int": "\x05", "float": "\xcb\x40\x14\x00\x00\x00\x00\x00\x00", "str": "\xa1x", "bin": "\xc4\x01x",
		"array": "\x91\x05", "map": "\x81\xa1A\x05", "timestamp": "\xd6\xff\x00\x00\x00\x05",
	}
}

// kindOf is the kind of an encoded value.
func kindOf(b string) string {
	for kind, codes := range map[string]string{
		"nil": "\xc0", "bool": "\xc2\xc3", "int": "\xcc\xcd\xce\xcf\xd0\xd1\xd2\xd3", "float": "\xca\xcb", "str": "\xd9\xda\xdb",
		"bin": "\xc4\xc5\xc6", "array": "\xdc\xdd", "map": "\xde\xdf", "timestamp": "\xc7\xd6\xd7",
	} {
		if strings.Contains(codes, b[:1]) {
			return kind
		}
	}
	switch c := b[0]; {
	case c < 0x80 || c >= 0xe0:
		return "int"
	case c < 0x90:
		return "map"
	case c < 0xa0:
		return "array"
	}
	return "str"
}

// Each row of docs/types.md says what the code does, and each type has a row.
func TestTypesDoc(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../docs/types.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(doc), "| Go type | sent as | also taken from | in an `any` it arrives as |\n|---|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	known := rows()
	for row := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		if len(cells) != 4 || known[cells[0]].values == nil {
			t.Errorf("no test of the row %q", row)
			continue
		}
		checkRow(t, cells, known[cells[0]])
		delete(known, cells[0])
	}
	for name := range known {
		t.Errorf("no row for %s", name)
	}
}

func checkRow(t *testing.T, cells []string, row documented) {
	t.Helper()
	for _, v := range row.values {
		what := fmt.Sprintf("%s (%T)", cells[0], v)
		b, err := Encode(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		typ := reflect.TypeOf(v)
		if typ.Kind() == reflect.Struct && typ.NumField() == 1 && typ.Field(0).Name == "E" { // an error travels in a field only
			b, typ = b[len("\x81\xa1E"):], typ.Field(0).Type
		}
		if got := kindOf(string(b)); got != cells[1] {
			t.Errorf("%s is sent as %s", what, got)
		}
		var arrived any
		if err := Decode(b, &arrived); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got := strings.ReplaceAll(fmt.Sprintf("`%T`", arrived), "interface {}", "any"); got != strings.ReplaceAll(cells[3], "[]byte", "[]uint8") {
			t.Errorf("%s arrives in an any as %s", what, got)
		}
		takes := append(strings.Split(cells[2], ", "), cells[1])
		for kind, body := range kinds() {
			if other, ok := row.bodies[kind]; ok {
				body = other
			}
			err := Decode([]byte(body), reflect.New(typ).Interface())
			if (err == nil) != slices.Contains(takes, kind) {
				t.Errorf("%s from %s: %v", what, kind, err)
			}
		}
	}
}
