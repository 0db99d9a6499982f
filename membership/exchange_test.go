package membership

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// stateBytes is a state exchange as memberlist would write it.
func stateBytes(t testing.TB, announced int, nodes ...map[string]any) []byte {
	var buf bytes.Buffer
	enc := msgpack.NewEncoder(&buf)
	enc.UseCompactInts(true)
	if err := enc.Encode(map[string]any{"Nodes": announced, "UserStateLen": 0, "Join": false}); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if err := enc.Encode(n); err != nil {
			t.Fatal(err)
		}
	}
	return buf.Bytes()
}

func oneState() map[string]any {
	return map[string]any{
		"Name": "a", "Addr": []byte{127, 0, 0, 1}, "Port": 7101, "Meta": []byte("m"),
		"Incarnation": 3, "State": 1, "Vsn": []byte{1, 5, 2, 1, 1, 1},
	}
}

func TestDecodeStates(t *testing.T) {
	got, err := decodeStates(bufio.NewReader(bytes.NewReader(stateBytes(t, 1, oneState()))))
	if err != nil || len(got) != 1 {
		t.Fatalf("got %v, %v", got, err)
	}
	s := got[0]
	if s.Name != "a" || s.Addr != netip.MustParseAddrPort("127.0.0.1:7101") || string(s.Meta) != "m" ||
		s.Incarnation != 3 || s.Health != HealthSuspect || !s.live() {
		t.Errorf("got %+v", s)
	}
	edit := func(key string, value any) []byte {
		n := oneState()
		n[key] = value
		return stateBytes(t, 1, n)
	}
	for name, in := range map[string][]byte{
		"empty":         nil,
		"no map":        {0x90},
		"missing node":  stateBytes(t, 2, oneState()),
		"many nodes":    stateBytes(t, maxStates+1),
		"negative":      stateBytes(t, -1),
		"long name":     edit("Name", strings.Repeat("n", maxStateField+1)),
		"unknown state": edit("State", 4),
		"large port":    edit("Port", 1<<16),
		"nested":        edit("New", []any{[]any{}}),
		"deep":          append(stateBytes(t, 1), append([]byte{0x81, 0xa1, 'x'}, bytes.Repeat([]byte{0x91}, 1<<20)...)...),
		"ext":           {0xc9, 0xff, 0xff, 0xff, 0xff, 1},
	} {
		if states, err := decodeStates(bufio.NewReader(bytes.NewReader(in))); !errors.Is(err, ErrBadState) {
			t.Errorf("%s: got %v, %v", name, states, err)
		}
	}
	for name, in := range map[string][]byte{
		"unknown scalars": edit("New", 1.5), "unknown text": edit("New", "x"), "no metadata": edit("Meta", nil),
		"IPv6": edit("Addr", net.ParseIP("::1").To16()), "no address": edit("Addr", nil),
	} {
		if _, err := decodeStates(bufio.NewReader(bytes.NewReader(in))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecodeStates(f *testing.F) {
	f.Add(stateBytes(f, 1, oneState()))
	f.Add(stateBytes(f, 1000))
	f.Fuzz(func(t *testing.T, b []byte) {
		states, err := decodeStates(bufio.NewReader(bytes.NewReader(b)))
		if err != nil && !errors.Is(err, ErrBadState) {
			t.Fatalf("unnamed error %v", err)
		}
		if len(states) > len(b) {
			t.Fatalf("%d states from %d bytes", len(states), len(b))
		}
	})
}

func TestSealing(t *testing.T) {
	for _, size := range []int{16, 24, 32} {
		key := bytes.Repeat([]byte{7}, size)
		sealed, err := seal(key, "c", []byte("message"))
		if err != nil {
			t.Fatal(err)
		}
		open := func(key []byte, cluster string, b []byte) ([]byte, error) {
			return unseal(key, cluster, bytes.NewReader(b[1:]))
		}
		if plain, err := open(key, "c", sealed); err != nil || string(plain) != "message" {
			t.Errorf("got %q, %v", plain, err)
		}
		if _, err := open(key, "d", sealed); !errors.Is(err, ErrGossipKeyMismatch) {
			t.Errorf("other cluster: %v", err)
		}
		if _, err := open(bytes.Repeat([]byte{8}, size), "c", sealed); !errors.Is(err, ErrGossipKeyMismatch) {
			t.Errorf("other key: %v", err)
		}
		for i := 1; i < len(sealed); i++ {
			if _, err := open(key, "c", sealed[:i]); err == nil {
				t.Fatalf("%d of %d bytes can be opened", i, len(sealed))
			}
			bent := bytes.Clone(sealed)
			bent[i] ^= 0x40
			if _, err := open(key, "c", bent); err == nil {
				t.Fatalf("byte %d may be changed", i)
			}
		}
	}
	if _, err := seal([]byte("short"), "c", nil); !errors.Is(err, ErrKey) {
		t.Errorf("short key: %v", err)
	}
}

func TestAskEndsWithItsContext(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := ask(ctx, near, "c", nil)
		done <- err
	}()
	if _, err := io.ReadFull(far, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAskTellsWhatIsNoAnswer(t *testing.T) {
	for _, answer := range []string{"", "\x0c", "\x0d\x81\xa5Error\xa1x", "\x06", "\x0a\xff\xff\xff\xff"} {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			_ = far.SetDeadline(time.Now().Add(5 * time.Second))
			_, _ = far.Read(make([]byte, 1024))
			_, _ = far.Write([]byte(answer))
		}()
		if states, err := ask(t.Context(), near, "c", nil); err == nil {
			t.Errorf("answer %q: got %v", answer, states)
		}
		_ = near.Close()
	}
}

func BenchmarkDecodeStates(b *testing.B) {
	var nodes []map[string]any
	for range 1000 {
		nodes = append(nodes, oneState())
	}
	in := stateBytes(b, len(nodes), nodes...)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeStates(bufio.NewReader(bytes.NewReader(in))); err != nil {
			b.Fatal(err)
		}
	}
}
