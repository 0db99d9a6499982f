package outbox

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meshnode/meshnode/rpc"
)

func drawCall(t *rapid.T) callRecord {
	r := callRecord{
		seq: rapid.Uint64().Draw(t, "seq"), enqueued: rapid.Int64().Draw(t, "enqueued"), expires: rapid.Int64().Draw(t, "expires"),
		id: rapid.String().Draw(t, "id"), key: rapid.String().Draw(t, "key"), method: rapid.String().Draw(t, "method"),
		body: rapid.SliceOf(rapid.Byte()).Draw(t, "body"),
	}
	copy(r.hash[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "hash"))
	if rapid.Bool().Draw(t, "for somebody") {
		r.caller = &rpc.Identity{Name: rapid.String().Draw(t, "caller"), Member: rapid.Bool().Draw(t, "member"), Verified: rapid.Bool().Draw(t, "verified")}
	}
	if m := rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "metadata"); len(m) > 0 {
		r.metadata = rpc.Metadata(m)
	}
	return r
}

// Records are read as they were written, and one that is cut short is an error or
// another record of the same kind, never a panic.
func TestRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		call := drawCall(t)
		b := call.append(nil)
		got, err := decodeCall(b)
		if len(got.body) == 0 && len(call.body) == 0 {
			got.body, call.body = nil, nil
		}
		if err != nil || !reflect.DeepEqual(got, call) {
			t.Fatalf("%+v, %v; want %+v", got, err, call)
		}
		if head := len(b) - len(call.body); head > 0 {
			if _, err := decodeCall(b[:rapid.IntRange(0, head-1).Draw(t, "cut")]); err == nil {
				t.Fatal("a record without its end was read")
			}
		}
		end := endRecord{
			seq: call.seq, ended: call.expires, attempts: rapid.Uint64().Draw(t, "attempts"), code: rpc.Code(rapid.Uint64().Draw(t, "code")),
			message: call.id, reply: append([]byte{1}, call.body...),
		}
		if got, err := decodeEnd(end.append(nil)); err != nil || !reflect.DeepEqual(got, end) {
			t.Fatalf("%+v, %v; want %+v", got, err, end)
		}
		note := noteRecord{seq: call.seq, expires: call.expires}
		if got, err := decodeNote(note.append(nil)); err != nil || got != note {
			t.Fatalf("%+v, %v; want %+v", got, err, note)
		}
		box := boxRecord{box: call.seq, next: end.attempts}
		if got, err := decodeBox(box.append(nil)); err != nil || got != box {
			t.Fatalf("%+v, %v; want %+v", got, err, box)
		}
	})
}

func FuzzRecords(f *testing.F) {
	call := callRecord{seq: 3, enqueued: 1, expires: 2, id: "id", key: "k", method: "m", metadata: rpc.Metadata{"a": "b"}, body: []byte("body")}
	f.Add(call.append(nil))
	call.caller = &rpc.Identity{Name: "admin", Verified: true}
	f.Add(call.append(nil))
	f.Add((&endRecord{seq: 1, code: rpc.NotFound, message: "no", reply: []byte("x")}).append(nil))
	f.Add([]byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeCall(b); err == nil {
			if again, err := decodeCall(r.append(nil)); err != nil || again.id != r.id || !bytes.Equal(again.body, r.body) {
				t.Errorf("%+v became %+v, %v", r, again, err)
			}
		}
		if r, err := decodeEnd(b); err == nil {
			if again, err := decodeEnd(r.append(nil)); err != nil || again.message != r.message || again.code != r.code {
				t.Errorf("%+v became %+v, %v", r, again, err)
			}
		}
		_, _ = decodeNote(b)
		_, _ = decodeBox(b)
	})
}

func FuzzHeader(f *testing.F) {
	h := header{id: "x", hash: hash{1}, expires: time.UnixMilli(5), attempt: 7}
	f.Add(h.text())
	f.Add("")
	f.Add("\x02")
	f.Fuzz(func(t *testing.T, text string) {
		h, durable, err := headerOf(&rpc.Info{Peer: "a", Metadata: rpc.Metadata{headerKey: text}})
		if !durable {
			t.Fatal("a header was not seen")
		}
		if err != nil {
			if newer := text != "" && text[0] != headerVersion; newer != (rpc.CodeOf(err) == rpc.Unimplemented) || !newer && rpc.CodeOf(err) != rpc.InvalidArgument {
				t.Errorf("%v", err)
			}
			return
		}
		again, _, err := headerOf(&rpc.Info{Peer: "a", Metadata: rpc.Metadata{headerKey: h.text()}})
		if err != nil || again != h {
			t.Errorf("%+v became %+v, %v", h, again, err)
		}
	})
}
