package wire

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// docTable gives the rows of the first table of docs/protocol.md whose first
// column has that title, without the heads.
func docTable(t *testing.T, title string) (rows [][]string) {
	t.Helper()
	inside, above := false, ""
	for line := range strings.Lines(readDoc(t)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
		}
		switch {
		case !strings.HasPrefix(line, "|") && inside:
			return rows
		case !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|--"):
		case inside:
			rows = append(rows, cells)
		default:
			inside = cells[0] == title && !strings.HasPrefix(above, "|")
		}
		above = line
	}
	if len(rows) == 0 {
		t.Fatalf("no table of %q", title)
	}
	return rows
}

func TestProtocolKinds(t *testing.T) {
	rows := docTable(t, "kind")
	same(t, "kinds", len(rows), int(kindCount))
	for i, row := range rows {
		same(t, "number", row[0], strconv.Itoa(i))
		same(t, "name", row[1], Kind(i).String())
		if !strings.HasPrefix(row[2], "["+row[0]+",") {
			t.Errorf("the header of %s is %s", row[1], row[2])
		}
	}
}

func TestProtocolSizes(t *testing.T) {
	sizes := map[string]int{
		"header": MaxHeader, "body in the frame of its header": MaxInline, "frame, its length not counted": MaxFrame,
		"name of a node or cluster": MaxName, "user's pairs in one meta": MaxPairs,
		"window of a hello that names none": DefaultWindow, "key of a call": MaxKey,
		"window that a stream begins with": StreamWindow,
	}
	rows := docTable(t, "limit")
	same(t, "limits", len(rows), len(sizes))
	for _, row := range rows {
		number, _, _ := strings.Cut(row[1], " ")
		same(t, row[0], strings.ReplaceAll(number, ",", ""), strconv.Itoa(sizes[row[0]]))
	}
}

// Fields of the hello are those that it is written with, in that order.
func TestProtocolHelloFields(t *testing.T) {
	var h Header
	fields, err := Parse(AppendHello(nil, &Hello{}), &h)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	c := cursor{buf: fields}
	for range c.mapping() {
		names = append(names, string(c.str()))
		c.skip()
	}
	var listed []string
	for _, row := range docTable(t, "field") {
		listed = append(listed, row[0])
	}
	same(t, "fields", fmt.Sprint(listed), fmt.Sprint(names))
}

// Keys of the meta are those that set something when they are read.
func TestProtocolMetaKeys(t *testing.T) {
	listed := make(map[int]bool)
	for _, row := range docTable(t, "key") {
		n, err := strconv.Atoi(row[0])
		if err != nil {
			t.Fatal(err)
		}
		listed[n] = true
		same(t, row[1]+" is known", known(t, n), row[4] != "reserved")
		if row[4] != "reserved" {
			e := example{}
			if err := e.annotate("call " + row[1] + "=1"); err != nil && e.annotate("call "+row[1]+"=1s") != nil {
				t.Errorf("the name of key %d: %v", n, err)
			}
		}
	}
	for n := range 128 {
		same(t, fmt.Sprintf("key %d is known but not listed", n), known(t, n) && !listed[n], false)
	}
}

// known tells whether a numbered key of the meta means something.
func known(t *testing.T, key int) bool {
	t.Helper()
	for _, value := range []byte{0x01, 0xa1} { // the number 1; a string of one byte
		frame := []byte{0x94, 0, 1, 0xa1, 'm', 0x81, byte(key), value, 'x'}
		var h, none Header
		none.Meta.Reset()
		if _, err := Parse(frame, &h); err == nil && fmt.Sprintf("%+v", h.Meta) != fmt.Sprintf("%+v", none.Meta) {
			return true
		}
	}
	return false
}
