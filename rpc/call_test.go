package rpc

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestOptions(t *testing.T) {
	t.Parallel()
	m := &mesh{}
	h := hello()
	h.Handle(m, greet)
	cases := []struct {
		name string
		opts []CallOption
		want Dest
	}{
		{"none", nil, Dest{Kind: ToAny}},
		{"key", []CallOption{Key("k")}, Dest{Kind: ToKey, Key: "k"}},
		{"empty key", []CallOption{Key("")}, Dest{Kind: ToKey}},
		{"peer", []CallOption{Peer("b")}, Dest{Kind: ToPeer, Peer: "b"}},
		{"any", []CallOption{Any(Random)}, Dest{Kind: ToAny, Policy: Random}},
		{"the last counts", []CallOption{Key("k"), Peer("b")}, Dest{Kind: ToPeer, Peer: "b"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := h.Call(t.Context(), m, &greeting{}, c.opts...); err != nil {
				t.Fatal(err)
			}
			if got := m.last(t); got.Dest != c.want || got.OneWay {
				t.Errorf("call to %+v (one way: %v), want %+v", got.Dest, got.OneWay, c.want)
			}
			if err := h.Send(t.Context(), m, &greeting{}, c.opts...); err != nil {
				t.Fatal(err)
			}
			if got := m.last(t); got.Dest != c.want || !got.OneWay {
				t.Errorf("one-way call to %+v (one way: %v), want %+v", got.Dest, got.OneWay, c.want)
			}
		})
	}
}

func TestMetadataOption(t *testing.T) {
	t.Parallel()
	m := &mesh{}
	h := hello()
	h.Handle(m, greet)
	_, err := h.Call(t.Context(), m, &greeting{}, WithMetadata("a", "1"), WithMetadata("b", ""), WithMetadata("a", "2"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := m.last(t).Metadata, (Metadata{"a": "2", "b": ""}); !maps.Equal(got, want) {
		t.Errorf("metadata %v, want %v", got, want)
	}
	if _, err := h.Call(t.Context(), m, &greeting{}); err != nil || m.last(t).Metadata != nil {
		t.Errorf("without the option there is metadata %v (%v)", m.last(t).Metadata, err)
	}
}

func TestTimeoutOption(t *testing.T) {
	t.Parallel()
	m := &mesh{targets: func(Dest) ([]string, error) { return []string{"a"}, nil }}
	h := hello()
	h.Handle(m, greet)
	if _, err := h.Call(t.Context(), m, &greeting{}, Timeout(time.Hour)); err != nil || m.last(t).Timeout != time.Hour {
		t.Errorf("timeout %v, %v", m.last(t).Timeout, err)
	}
	if _, err := h.Gather(t.Context(), m, &greeting{}, Timeout(time.Hour)); err != nil || m.last(t).Timeout != time.Hour {
		t.Errorf("timeout of a gather %v, %v", m.last(t).Timeout, err)
	}
	before := len(m.calls)
	for _, d := range []time.Duration{0, -1, -time.Hour} {
		_, err := h.Call(t.Context(), m, &greeting{}, Timeout(d))
		wantCode(t, err, InvalidArgument)
		wantCode(t, h.Send(t.Context(), m, &greeting{}, Timeout(d)), InvalidArgument)
		_, err = h.Gather(t.Context(), m, &greeting{}, Timeout(d))
		wantCode(t, err, InvalidArgument)
	}
	if len(m.calls) != before {
		t.Error("a call with a bad timeout went out")
	}
}

func TestAnswered(t *testing.T) {
	t.Parallel()
	m := &mesh{fail: map[string]error{"dead": Unavailable}}
	h := hello()
	h.Handle(m, func(ctx context.Context, req *greeting) (*answer, error) {
		if req.Name == "" {
			return nil, InvalidArgument
		}
		return greet(ctx, req)
	})
	who := "nobody"
	if _, err := h.Call(t.Context(), m, &greeting{}, Peer("dead"), Answered(&who)); err == nil || who != "nobody" {
		t.Errorf("nobody answered, but %q did (%v)", who, err)
	}
	if _, err := h.Call(t.Context(), m, &greeting{Name: "x"}, Peer("b"), Answered(&who)); err != nil || who != "b" {
		t.Errorf("b answered, but %q did (%v)", who, err)
	}
	_, err := h.Call(t.Context(), m, &greeting{}, Peer("c"), Answered(&who))
	if wantCode(t, err, InvalidArgument); who != "c" {
		t.Errorf("c answered with an error, but %q did", who)
	}
}

// Call and Send have one destination, Gather many.
func TestDestinations(t *testing.T) {
	t.Parallel()
	m := &mesh{targets: func(Dest) ([]string, error) { return nil, errors.New("asked for targets") }}
	h := hello()
	h.Handle(m, greet)
	for _, opt := range []CallOption{All(), Owners("k", 2)} {
		_, err := h.Call(t.Context(), m, &greeting{}, opt)
		if e := wantCode(t, err, InvalidArgument); !strings.Contains(e.Message, "Gather") {
			t.Errorf("the error of a Call does not name Gather: %v", e)
		}
		wantCode(t, h.Send(t.Context(), m, &greeting{}, opt), InvalidArgument)
	}
	for _, opt := range []CallOption{Key("k"), Peer("a"), Any(Random), Owners("k", 0), Owners("k", -1)} {
		_, err := h.Gather(t.Context(), m, &greeting{}, opt)
		wantCode(t, err, InvalidArgument)
	}
	if len(m.calls) != 0 {
		t.Errorf("%d calls went out", len(m.calls))
	}
}

func TestGather(t *testing.T) {
	t.Parallel()
	var asked Dest
	m := &mesh{
		targets: func(dest Dest) ([]string, error) { asked = dest; return []string{"c", "a", "b"}, nil },
		fail:    map[string]error{"a": errors.New("broken")},
	}
	h := hello()
	h.Handle(m, func(ctx context.Context, _ *greeting) (*answer, error) {
		info, ok := InfoFrom(ctx)
		if !ok || info.Metadata["from"] != "test" {
			return nil, Errorf(Internal, "metadata is %v", info)
		}
		return &answer{Text: info.Peer}, nil
	})
	got, err := h.Gather(t.Context(), m, &greeting{}, Owners("k", 3), WithMetadata("from", "test"))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Dest{Kind: ToOwners, Key: "k", N: 3}); asked != want {
		t.Errorf("asked for the targets of %+v, want %+v", asked, want)
	}
	for i, want := range []struct {
		peer string
		code Code
	}{{"c", OK}, {"a", Internal}, {"b", OK}} {
		r := got[i]
		if r.Peer != want.peer || CodeOf(r.Err) != want.code || (r.Err == nil) != (r.Reply != nil) {
			t.Errorf("result %d is %+v, want %+v", i, r, want)
		}
		if r.Err == nil && r.Reply.Text != r.Peer {
			t.Errorf("the answer of %q stands at %q", r.Reply.Text, r.Peer)
		}
	}
	if _, err := h.Gather(t.Context(), m, &greeting{}); err != nil || asked.Kind != ToAll {
		t.Errorf("without a destination it asks for %+v (%v)", asked, err)
	}
	m.targets = func(Dest) ([]string, error) { return nil, errors.New("no table yet") }
	_, err = h.Gather(t.Context(), m, &greeting{})
	wantCode(t, err, Internal)
}

// All calls of a Gather run at once: each waits for all others.
func TestGatherIsParallel(t *testing.T) {
	t.Parallel()
	const n = 8
	var waiting atomic.Int32
	all := make(chan struct{})
	m := &mesh{targets: func(Dest) ([]string, error) { return strings.Split("abcdefgh", ""), nil }}
	h := hello()
	h.Handle(m, func(ctx context.Context, _ *greeting) (*answer, error) {
		if waiting.Add(1) == n {
			close(all)
		}
		select {
		case <-all:
			return &answer{}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	results, err := h.Gather(ctx, m, &greeting{})
	if err != nil || len(results) != n {
		t.Fatalf("%d results, %v", len(results), err)
	}
	for _, r := range results {
		if r.Err != nil {
			t.Error(r.Err)
		}
	}
}

func TestSendErrors(t *testing.T) {
	t.Parallel()
	m := &mesh{fail: map[string]error{"b": context.DeadlineExceeded}}
	err := hello().Send(t.Context(), m, &greeting{}, Peer("b"))
	wantCode(t, err, DeadlineExceeded)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v is no context.DeadlineExceeded", err)
	}
}

func TestKindNames(t *testing.T) {
	t.Parallel()
	for kind, want := range map[DestKind]string{ToAny: "Any", ToKey: "Key", ToPeer: "Peer", ToAll: "All", ToOwners: "Owners"} {
		if kind.String() != want {
			t.Errorf("%d is called %q, want %q", kind, kind, want)
		}
	}
	if got := Policies(); got[0] != RoundRobin || slices.Contains(got, Bounded) {
		t.Errorf("policies of calls to any node: %v", got)
	}
}
