package transport

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// docTable gives the rows of the table of docs/protocol.md with that title,
// which is how its first column or columns are headed.
func docTable(t *testing.T, title string) (rows [][]string) {
	t.Helper()
	doc, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(doc), "\n\n| "+title+" |")
	table, _, _ = strings.Cut(table, "\n\n")
	lines := strings.Split(table, "\n")
	if !found || len(lines) < 3 {
		t.Fatalf("no table of %q", title)
	}
	for _, line := range lines[2:] {
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.ReplaceAll(strings.TrimSpace(cells[i]), "`", "")
		}
		rows = append(rows, cells)
	}
	return rows
}

// reasonNames reads the names of the errors in reasons from the source.
func reasonNames(t *testing.T) map[int]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[int]string)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != "reasons" {
			return true
		}
		for _, e := range spec.Values[0].(*ast.CompositeLit).Elts {
			pair := e.(*ast.KeyValueExpr)
			code, err := strconv.Atoi(pair.Key.(*ast.BasicLit).Value)
			if err != nil {
				t.Error(err)
			}
			names[code] = pair.Value.(*ast.Ident).Name
		}
		return false
	})
	return names
}

func TestProtocolReasons(t *testing.T) {
	names, rows := reasonNames(t), docTable(t, "code | name | words")
	same(t, "reasons", len(rows), len(reasons))
	for i, row := range rows {
		same(t, "code", row[0], strconv.Itoa(i))
		same(t, "name", row[1], names[i])
		same(t, "words", "transport: "+row[2], reasons[i].Error())
	}
	for _, row := range docTable(t, "what | reason") {
		for name := range strings.SplitSeq(row[1], ", ") {
			same(t, row[1]+" is a reason", slices.Contains(slices.Collect(maps.Values(names)), name), true)
		}
	}
}

// namedErrors are those that the table of violations may name.
var namedErrors = map[string]error{
	"wire.ErrTruncated": wire.ErrTruncated, "wire.ErrMalformed": wire.ErrMalformed, "wire.ErrLength": wire.ErrLength,
	"wire.ErrTooDeep": wire.ErrTooDeep, "wire.ErrUnknownKind": wire.ErrUnknownKind,
	"wire.ErrHeaderTooLarge": wire.ErrHeaderTooLarge, "ErrDuplicateID": ErrDuplicateID, "ErrWrongSide": ErrWrongSide,
	"ErrUnexpectedFrame": ErrUnexpectedFrame, "ErrBodyLength": ErrBodyLength, "ErrFrameTooLarge": ErrFrameTooLarge,
	"ErrWindowOverflow": ErrWindowOverflow, "ErrPingFlood": ErrPingFlood,
}

// Each violation that TestViolations commits moves the counters, and is told by
// the code, that the row of its error says; each row has one.
func TestProtocolViolations(t *testing.T) {
	rows := docTable(t, "what | error | code | counters")
	used := make(map[int]bool)
	for _, v := range append(violations, otherViolations...) {
		row := slices.IndexFunc(rows, func(row []string) bool {
			return slices.ContainsFunc(strings.Split(row[1], ", "), func(name string) bool { return namedErrors[name] == v.want })
		})
		if row < 0 {
			t.Errorf("%s: no row of %v", v.name, v.want)
			continue
		}
		code, counters := commit(t, v.bytes)
		same(t, v.name+": code", fmt.Sprint(code), rows[row][2])
		same(t, v.name+": counters", strings.Join(counters, ", "), sorting(rows[row][3]))
		for i, other := range rows { // one error, several rows
			used[i] = used[i] || slices.Contains(strings.Split(other[1], ", "), nameOf(v.want))
		}
	}
	for i, row := range rows {
		same(t, "a violation as in "+row[0], used[i], true)
	}
}

// otherViolations are kinds of headers that TestViolations has none of.
var otherViolations = []struct {
	name  string
	bytes []byte
	want  error
	said  error
}{
	{"newer element that lies", []byte("\x00\x00\x00\x08\x93\x08\x01\xdd\xff\xff\xff\xff"), wire.ErrLength, ErrProtocol},
}

func nameOf(err error) string {
	for name, known := range namedErrors {
		if known == err {
			return name
		}
	}
	return ""
}

func sorting(list string) string {
	words := strings.Split(list, ", ")
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// commit sends a violation to a host as TestViolations does. It gives the code
// of the goaway, and the counters that moved.
func commit(t *testing.T, violation []byte) (code uint64, moved []string) {
	l := &lab{t, newMemNet(100 << 10)}
	h := l.host(Config{Name: "b", Limits: Limits{MaxBody: hostileLimit, Window: 8 << 10}, Handler: methods{
		"echo": echo{}.ServeCall, "stream": streamEcho,
	}})
	r := l.greeted(h)
	far := h.far(t)
	r.sendCall(7, "echo")
	r.next()
	r.sendCall(9, "echo")
	r.next()
	before := h.stats.All()
	r.write(violation)
	for head := (wire.Header{}); head.Kind != wire.KindGoAway; {
		_, head, _ = r.next()
		code = head.Code
	}
	receive(t, "end", far.Closed())
	for name, n := range h.stats.All() {
		if n > before[name] && !slices.Contains([]string{"conns_closed", "calls_received", "streams_opened"}, name) {
			moved = append(moved, name)
		}
	}
	slices.Sort(moved)
	return code, moved
}

// TestProtocolLimits compares the defaults, and that none is left out.
func TestProtocolLimits(t *testing.T) {
	var l Limits
	if err := l.setDefaults(); err != nil {
		t.Fatal(err)
	}
	rows := docTable(t, "limit | default | bounds")
	fields := reflect.ValueOf(l)
	same(t, "limits", len(rows), fields.NumField())
	for _, row := range rows {
		field := fields.FieldByName(row[0])
		if !field.IsValid() {
			t.Errorf("no limit %s", row[0])
			continue
		}
		same(t, row[0], quantity(t, row[1]), field.Int())
	}
	for _, row := range docTable(t, "bound | value | beyond it") {
		want := map[string]int64{
			"first byte": int64(firstByteTimeout), "TLS handshake, from the first byte on": int64(firstByteTimeout),
			"preface and hello, from then on":          int64(DefaultHandshakeTimeout),
			"one hello frame, its length not counted":  maxHello,
			"streams that have not said what they are": maxStrangers,
			"streams that have not said hello":         maxStrangers,
		}[row[0]]
		same(t, row[0], quantity(t, row[1]), want)
	}
}

// quantity reads a number with its unit; times are in nanoseconds.
func quantity(t *testing.T, text string) int64 {
	t.Helper()
	number, unit, _ := strings.Cut(text, " ")
	n, err := strconv.ParseInt(strings.ReplaceAll(number, ",", ""), 10, 64)
	factor, known := map[string]int64{
		"": 1, "bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
		"ms": int64(time.Millisecond), "s": int64(time.Second), "min": int64(time.Minute),
	}[unit]
	if err != nil || !known {
		t.Errorf("no quantity: %q", text)
	}
	return n * factor
}

// The words of the document that hold numbers of this package.
func TestProtocolNumbers(t *testing.T) {
	doc, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(doc)), " ")
	for _, want := range []string{
		fmt.Sprintf("length of the frame's body + %d", frameCost),
		fmt.Sprintf("a window is under %d,024", minWindow>>10),
		fmt.Sprintf("A window above 2^%d counts as", len(strconv.FormatInt(maxCredit, 2))-1),
		fmt.Sprintf("a budget for pings: %d at first and at most, and one more every %d ms", pingBurst, pingEvery.Milliseconds()),
		fmt.Sprintf("After %d s without a byte", int(DefaultKeepalive.Seconds())),
		fmt.Sprintf("If %d s later", int(DefaultKeepaliveTimeout.Seconds())),
		fmt.Sprintf("After %d min without a call", int(DefaultIdleTimeout.Minutes())),
		fmt.Sprintf("A write that takes longer than %d s", int(DefaultWriteTimeout.Seconds())),
		fmt.Sprintf("gets no credit for %d s", int(DefaultStallTimeout.Seconds())),
		fmt.Sprintf("gives up after %d s", int(DefaultDialTimeout.Seconds())),
		fmt.Sprintf("Once %d MiB (four times MaxQueued)", callsWait*DefaultMaxQueued>>20),
		fmt.Sprintf("repeats at most %d bytes", maxReasonText),
		"| " + "`" + protoMesh + "`" + " | mesh", "| " + "`" + protoGossip + "`" + " | gossip",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the document does not say %q", want)
		}
	}
}

func TestProtocolFirstBytes(t *testing.T) {
	named := map[byte]bool{}
	for _, row := range docTable(t, "first byte | what the stream is")[:4] {
		kind, _, _ := strings.Cut(strings.ReplaceAll(row[1], "-RPC", "-rpc"), ":")
		for digits := range strings.FieldsSeq(strings.Split(row[0], "(")[0]) {
			b, err := strconv.ParseUint(digits, 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			named[byte(b)] = true
			same(t, "a stream of "+digits, Classify(byte(b)).String(), map[string]string{"MessagePack-rpc": "msgpack-rpc", "TLS": "tls"}[kind]+
				map[string]string{"mesh": "mesh", "gossip": "gossip"}[kind])
		}
	}
	for b := range 256 {
		same(t, fmt.Sprintf("byte %#x is known", b), Classify(byte(b)) != StreamUnknown, named[byte(b)])
	}
}
