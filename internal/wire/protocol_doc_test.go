package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// example is one frame of docs/protocol.md: its bytes, and what the line above
// them says of it.
type example struct {
	line     int
	note     string
	accepted bool // to be understood, but not what our own side writes
	preface  bool
	kind     Kind
	want     Header
	hello    Hello
	body     []byte
	bytes    []byte
}

// TestProtocolExamples decodes every example of the specification, compares it
// with its annotation, and encodes it again.
func TestProtocolExamples(t *testing.T) {
	doc := readDoc(t)
	for _, problem := range checkExamples(doc) {
		t.Error(problem)
	}
	for n, line := range strings.Split(doc, "\n") {
		if len([]rune(line)) > 120 {
			t.Errorf("line %d is longer than 120 characters", n+1)
		}
	}
}

// Each way in which an example can be wrong is a problem.
func TestProtocolExamplesCanFail(t *testing.T) {
	all := readDoc(t)
	const ping = "```hex\n# ping n=7\n00000003 920807\n```\n"
	for name, doc := range map[string]string{
		"no annotation":       "```hex\n00000003 920807\n```\n",
		"no block is hex":     strings.ReplaceAll(ping, "```hex", "```"),
		"other field":         strings.Replace(ping, "n=7", "n=8", 1),
		"unknown field":       strings.Replace(ping, "n=7", "n=7 m=1", 1),
		"other kind":          strings.Replace(ping, "# ping", "# pong", 1),
		"unknown kind":        strings.Replace(ping, "# ping", "# pang", 1),
		"bad hex":             strings.Replace(ping, "920807", "92080", 1),
		"other length":        strings.Replace(ping, "00000003", "00000004", 1),
		"body not mentioned":  strings.Replace(ping, "00000003 920807", "00000004 92080700", 1),
		"not the usual form":  strings.Replace(ping, "00000003 920807", "00000004 9208cc07", 1),
		"usual, but accepted": strings.Replace(ping, "# ping", "# accepted ping", 1),
		"block without end":   "```hex\n# ping n=7\n00000003 920807\n",
	} {
		if len(checkExamples(doc+all)) == 0 {
			t.Errorf("%s: no problem found", name)
		}
	}
	for _, k := range kindNames {
		if without := strings.ReplaceAll(all, "\n# "+k+" ", "\n# accepted "+k+" "); len(checkExamples(without)) == 0 {
			t.Errorf("no example of %s: no problem found", k)
		}
	}
}

func readDoc(t *testing.T) string {
	t.Helper()
	doc, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

// checkExamples tells what is wrong with the examples of a document.
func checkExamples(doc string) (problems []string) {
	examples, problems := parseExamples(doc)
	seen := make(map[Kind]bool)
	for _, e := range examples {
		if err := e.check(); err != nil {
			problems = append(problems, fmt.Sprintf("line %d: %s: %v", e.line, e.note, err))
		}
		seen[e.kind] = seen[e.kind] || !e.accepted
	}
	for k := range kindCount {
		if !seen[k] {
			problems = append(problems, "no example of "+k.String())
		}
	}
	return problems
}

// parseExamples reads the fenced blocks. In those marked hex, a line with "# "
// and a kind begins a frame, one with "#   " goes on with it; what follows a semicolon is for people.
func parseExamples(doc string) (examples []*example, problems []string) {
	var frame *example // that bytes belong to
	fence, inside := "", false
	for n, line := range strings.Split(doc, "\n") {
		var err error
		language, fenced := strings.CutPrefix(line, "```")
		note, noted := strings.CutPrefix(line, "# ")
		rest, goesOn := strings.CutPrefix(line, "#   ")
		switch {
		case fenced:
			if inside && fence == "hex" && frame == nil {
				err = fmt.Errorf("a block of hex without a frame")
			}
			if inside = !inside; inside && language != "hex" && language != "text" {
				err = fmt.Errorf("a block marked %q: want hex or text", language)
			}
			fence, frame = language, nil
		case !inside || fence != "hex":
		case goesOn && frame != nil:
			frame.note += " " + rest
			err = frame.setAll(splitNote(rest))
		case noted:
			frame = &example{line: n + 1, note: note}
			examples = append(examples, frame)
			err = frame.annotate(note)
		default:
			err = frame.read(line)
		}
		if err != nil {
			problems = append(problems, fmt.Sprintf("line %d: %v", n+1, err))
		}
	}
	if inside {
		problems = append(problems, "the last block has no end")
	}
	return examples, problems
}

// read takes a line of bytes.
func (e *example) read(line string) error {
	digits, _, _ := strings.Cut(line, ";")
	b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	if err == nil && e == nil && len(b) > 0 {
		err = fmt.Errorf("bytes without an annotation")
	}
	if err == nil && e != nil {
		e.bytes = append(e.bytes, b...)
	}
	return err
}

// annotate reads what a line says of a frame: [accepted] kind [field=value]…
func (e *example) annotate(note string) error {
	words := splitNote(note)
	if e.accepted = words[0] == "accepted"; e.accepted {
		words = words[1:]
	}
	e.kind = kindCount
	for k := range kindCount {
		if len(words) > 0 && k.String() == words[0] {
			e.kind = k
		}
	}
	if e.kind == kindCount {
		return fmt.Errorf("%q names no kind", note)
	}
	e.want.Kind = e.kind
	switch e.kind {
	case KindCall, KindReply, KindNotify, KindOpen:
		e.want.Meta.Partition = NoPartition
	}
	return e.setAll(words[1:])
}

func (e *example) setAll(words []string) error {
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		if err := e.set(name, value); err != nil {
			return fmt.Errorf("%q: %w", w, err)
		}
	}
	return nil
}

// splitNote splits at spaces outside of quotes.
func splitNote(note string) []string {
	quoted := false
	return strings.FieldsFunc(note, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	})
}

func (e *example) set(name, value string) (err error) {
	h, m := &e.want, &e.want.Meta
	numbers := map[string]*uint64{
		"id": &h.ID, "last": &h.ID, "code": &h.Code, "credit": &h.Code, "n": &h.Code, "version": &e.hello.Version,
		"boot": &e.hello.Boot, "key": &e.hello.KeyID, "max_body": &e.hello.MaxBody, "max_calls": &e.hello.MaxCalls,
		"window": &e.hello.Window, "conn_window": &e.hello.ConnWindow, "fingerprint": &m.Fingerprint, "length": &m.Length,
	}
	small := map[string]*uint8{
		"hops": &m.Hops, "attempt": &m.Attempt, "encoding": &m.Encoding, "priority": &m.Priority,
		"stand-in": (*uint8)(&m.StandIn), "caller": (*uint8)(&m.Caller),
	}
	medium := map[string]*uint32{"pushback": &m.Pushback, "load": &m.Load}
	texts := map[string]*string{"cluster": &e.hello.Cluster, "name": &e.hello.Name, "to": &e.hello.To}
	blobs := map[string]*[]byte{"method": &h.Method, "owner": &m.Owner, "message": &m.Message, "caller-name": &m.CallerName, "body": &e.body}
	if e.kind != KindHello { // which has a key of its own
		delete(numbers, "key")
		blobs["key"] = &m.Key
	}
	user, isUser := strings.CutPrefix(name, "user.")
	switch {
	case numbers[name] != nil:
		*numbers[name], err = strconv.ParseUint(value, 0, 64)
	case small[name] != nil:
		var u uint64
		u, err = strconv.ParseUint(value, 0, 8)
		*small[name] = uint8(u)
	case medium[name] != nil:
		var u uint64
		u, err = strconv.ParseUint(value, 0, 32)
		*medium[name] = uint32(u)
	case name == "refused":
		m.Refused = value == "1"
	case texts[name] != nil:
		*texts[name] = value
	case blobs[name] != nil:
		*blobs[name], err = blob(value)
	case isUser:
		var b []byte
		b, err = blob(value)
		m.User = append(m.User, Pair{Key: []byte(user), Value: b})
	case name == "timeout":
		m.Timeout, err = time.ParseDuration(value)
	case name == "partition":
		m.Partition, err = strconv.ParseInt(value, 0, 64)
	case name == "more" && value == "":
		h.More = true
	case name == "preface" && value == "":
		e.preface = true
	default:
		err = fmt.Errorf("no such field")
	}
	return err
}

// blob reads 0x and hex digits, a quoted text, or a plain one.
func blob(value string) ([]byte, error) {
	if digits, ok := strings.CutPrefix(value, "0x"); ok {
		return hex.DecodeString(digits)
	}
	if strings.HasPrefix(value, `"`) {
		text, err := strconv.Unquote(value)
		return []byte(text), err
	}
	return []byte(value), nil
}

// check decodes the frame, compares, and encodes it again.
func (e *example) check() error {
	b, ok := bytes.CutPrefix(e.bytes, []byte(Preface))
	if ok != e.preface {
		return fmt.Errorf("begins with the preface: %v, annotated: %v", ok, e.preface)
	}
	if len(b) < Prefix || Length(b) != len(b)-Prefix {
		return fmt.Errorf("the length does not fit the %d bytes", len(b))
	}
	if err := e.decode(b[Prefix:]); err != nil {
		return err
	}
	var again []byte
	if e.preface {
		again = append(again, Preface...)
	}
	again, at := Begin(again)
	again = End(append(e.append(again), e.body...), at)
	if bytes.Equal(again, e.bytes) == e.accepted {
		return fmt.Errorf("encoded: %x", again)
	}
	return nil
}

func (e *example) decode(frame []byte) error {
	if e.kind == KindHello {
		h, err := ParseHello(frame)
		if err == nil && h != e.hello {
			err = fmt.Errorf("decoded: %+v", h)
		}
		return err
	}
	var h Header
	body, err := Parse(frame, &h)
	if err != nil {
		return err
	}
	if got, want := fmt.Sprintf("%+v", h), fmt.Sprintf("%+v", e.want); got != want {
		return fmt.Errorf("decoded\n %s, want\n %s", got, want)
	}
	if !bytes.Equal(body, e.body) {
		return fmt.Errorf("body %x, want %x", body, e.body)
	}
	return nil
}

// append encodes the header that the annotation tells of.
func (e *example) append(dst []byte) []byte {
	h := &e.want
	switch e.kind {
	case KindCall:
		return AppendCall(dst, h.ID, string(h.Method), &h.Meta)
	case KindReply:
		return AppendReply(dst, h.ID, h.Code, &h.Meta)
	case KindNotify:
		return AppendNotify(dst, string(h.Method), &h.Meta)
	case KindOpen:
		return AppendOpen(dst, h.ID, string(h.Method), &h.Meta)
	case KindData:
		return AppendData(dst, h.ID, h.More)
	case KindHalfClose:
		return AppendHalfClose(dst, h.ID)
	case KindCancel:
		return AppendCancel(dst, h.ID, h.Code)
	case KindWindow:
		return AppendWindow(dst, h.ID, h.Code)
	case KindPing:
		return AppendPing(dst, h.Code)
	case KindPong:
		return AppendPong(dst, h.Code)
	case KindGoAway:
		return AppendGoAway(dst, h.ID, h.Code)
	}
	return AppendHello(dst, &e.hello)
}
