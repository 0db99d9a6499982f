package node

import (
	"bytes"
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

type (
	ringed struct {
		Next *ringed
		Any  any
	}
	counted struct {
		Items []struct{ Count uint8 }
		F32   float32 `msgpack:"f32"`
		U64   uint64
	}
)

// ringOf is a value that contains itself.
func ringOf() *ringed {
	r := &ringed{}
	r.Next = r
	return r
}

// wide is a value of 2^60 strings in little memory.
func wide() *ringed {
	list := []any{"x"}
	for range 60 {
		list = []any{list, list}
	}
	return &ringed{Any: list}
}

// Values without an end are errors of the call, as requests and as replies, for
// remote and local calls.
func TestValuesWithoutEnd(t *testing.T) {
	t.Parallel()
	small := transport.Limits{MaxBody: 64 << 10}
	l := newLab(t)
	l.edit = func(cfg *Config) { cfg.Limits.Transport.MaxBody = small.MaxBody }
	nodes := l.cluster("a", "b")
	m := rpc.NewMethod[ringed, ringed]("lab.Ring")
	stream := rpc.NewStream[ringed, ringed]("lab.Rings")
	reply := map[string]func() *ringed{"ring": ringOf, "wide": wide, "fine": func() *ringed { return nil }}
	m.Handle(nodes[0], func(_ context.Context, req *ringed) (*ringed, error) { return reply[req.Any.(string)](), nil })
	stream.Handle(nodes[0], func(_ context.Context, s *rpc.ServerStream[ringed, ringed]) error {
		if _, err := s.Recv(); err != nil {
			return err
		}
		return s.Send(ringOf())
	})
	client, err := Dial(t.Context(), nodes[1].Addr().String(), ClientConfig{Limits: small})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for name, from := range map[string]rpc.Caller{"local": nodes[0], "remote": nodes[1], "client": client} {
		_, err := m.Call(t.Context(), from, ringOf(), rpc.Peer("a"))
		if e := wantCode(t, err, rpc.InvalidArgument); !strings.Contains(e.Message, "node.ringed nests deeper than 64 levels, or contains itself") {
			t.Errorf("%s: %v", name, err)
		}
		_, err = m.Call(t.Context(), from, wide(), rpc.Peer("a"))
		if e := wantCode(t, err, rpc.ResourceExhausted); e.RetryAfter != rpc.NeverRetry || !strings.Contains(e.Message, "node.ringed takes more than ") {
			t.Errorf("%s: %v", name, err)
		}
		_, err = m.Call(t.Context(), from, &ringed{Any: "ring"}, rpc.Peer("a"))
		if e := wantCode(t, err, rpc.Internal); e.Message != "the reply cannot be encoded" {
			t.Errorf("%s: %v", name, err)
		}
		_, err = m.Call(t.Context(), from, &ringed{Any: "wide"}, rpc.Peer("a"))
		wantCode(t, err, rpc.ResourceExhausted)
		if _, err = m.Call(t.Context(), from, &ringed{Any: "fine"}, rpc.Peer("a")); err != nil {
			t.Errorf("%s: afterwards: %v", name, err)
		}
	}
	for _, from := range nodes {
		s, err := stream.Open(t.Context(), from, rpc.Peer("a"))
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, s.Send(ringOf()), rpc.InvalidArgument)
		wantCode(t, s.Send(wide()), rpc.ResourceExhausted)
		if err := s.Send(&ringed{}); err != nil {
			t.Error(err)
		}
		_, err = s.Recv()
		wantCode(t, err, rpc.InvalidArgument) // of the handler's Send, which it returns
		s.Close()
	}
}

// Numbers that do not fit are refused with the path, from clients of any kind;
// those that do fit arrive, in whatever form.
func TestNumbersFromStrangers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b")
	m := rpc.NewMethod[counted, counted]("lab.Count")
	m.Handle(nodes[0], func(_ context.Context, req *counted) (*counted, error) { return req, nil })
	raw := rpc.NewMethod[any, any]("lab.Count") // a peer that knows other types
	f := dialForeign(t, nodes[1])
	type object = map[string]any
	for want, req := range map[string]object{
		"Items[3].Count: 300 does not fit uint8": {"Items": []any{nil, nil, nil, object{"Count": 300}}},
		"U64: -1 does not fit uint64":            {"U64": -1},
		"f32: 1e+300 does not fit float32":       {"f32": 1e300},
		"U64: 0.5 is no integer":                 {"U64": 0.5},
	} {
		for _, from := range nodes {
			_, err := raw.Call(t.Context(), from, new(any(req)), rpc.Peer("a"))
			if e := wantCode(t, err, rpc.InvalidArgument); !strings.HasSuffix(e.Message, "node.counted: "+want) {
				t.Errorf("%s: %q, want %q", from.Name(), e.Message, want)
			}
		}
		if code, _ := f.ask("lab.Count", req, object{"peer": "a"}); code != "InvalidArgument" {
			t.Errorf("MessagePack-RPC: %s, want %s", code, want)
		}
	}
	req := object{"f32": 1.5, "U64": 3.0, "Items": []any{object{"Count": 255.0}}}
	got, err := raw.Call(t.Context(), nodes[1], new(any(req)), rpc.Peer("a"))
	want := object{"f32": 1.5, "U64": int64(3), "Items": []any{object{"Count": int64(255)}}}
	if err != nil || !reflect.DeepEqual(*got, any(want)) {
		t.Errorf("%v, %v; want %v", *got, err, want)
	}
}

// What is echoed through an any comes back as it was sent, to Go and others.
func TestEchoOfAny(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b")
	m := rpc.NewMethod[map[string]any, map[string]any]("lab.Any")
	m.Handle(nodes[0], func(_ context.Context, req *map[string]any) (*map[string]any, error) { return req, nil })
	in := map[string]any{
		"i": int64(128), "u": uint64(1 << 63), "b": []byte("\xff\xfe"), "s": "", "m": map[any]any{int64(1): "x"}, "l": []any{true, nil, 0.5},
	}
	for _, from := range nodes {
		out, err := m.Call(t.Context(), from, &in, rpc.Peer("a"))
		if err != nil || !reflect.DeepEqual(*out, in) {
			t.Errorf("from %s: %v, %v", from.Name(), *out, err)
		}
	}
	f := dialForeign(t, nodes[1])
	f.dec.UseLooseInterfaceDecoding(false)
	code, out := f.ask("lab.Any", map[string]any{"b": []byte("\xff\xfe"), "s": "text"}, map[string]any{"peer": "a"})
	if b, ok := out["b"].([]byte); code != "OK" || !ok || !bytes.Equal(b, []byte("\xff\xfe")) || out["s"] != "text" {
		t.Errorf("MessagePack-RPC: %s, %#v", code, out)
	}
}
