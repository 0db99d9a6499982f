package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
)

func TestStreams(t *testing.T) {
	var out bytes.Buffer
	args := []string{"--streams", "--messages", "2000", "--rounds", "1", "--json"}
	if err := run(t.Context(), args, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	var rows []streamRow
	if err := json.Unmarshal(out.Bytes(), &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(streamTypes()) {
		t.Fatalf("%d rows, want %d", len(rows), len(streamTypes()))
	}
	for _, r := range rows {
		if r.Kind != "stream" || r.Messages != 2000 || r.Rate <= 0 || r.Heap <= 0 || r.Ratio <= 0 {
			t.Errorf("row %+v", r)
		}
	}
}

// fakeStream echoes through a channel, and can be made to err.
type fakeStream struct {
	echoes chan []byte
	mangle func(n int, body []byte) [][]byte
	sent   int
}

func (f *fakeStream) Send(body []byte) error {
	for _, b := range f.mangle(f.sent, body) {
		f.echoes <- b
	}
	f.sent++
	return nil
}

func (f *fakeStream) CloseSend() error {
	close(f.echoes)
	return nil
}

func (f *fakeStream) Recv() ([]byte, error) {
	if b, ok := <-f.echoes; ok {
		return b, nil
	}
	return nil, io.EOF
}

func (*fakeStream) Close() {}

// TestStreamFaultsShow has streams that lose, double or cut the fifth message.
func TestStreamFaultsShow(t *testing.T) {
	for name, fifth := range map[string]func(body []byte) [][]byte{
		"lost":    func([]byte) [][]byte { return nil },
		"doubled": func(body []byte) [][]byte { return [][]byte{body, body} },
		"cut":     func(body []byte) [][]byte { return [][]byte{body[:10]} },
		"right":   func(body []byte) [][]byte { return [][]byte{body} },
	} {
		f := &fakeStream{echoes: make(chan []byte, 100), mangle: func(n int, body []byte) [][]byte {
			if n != 5 {
				return [][]byte{body}
			}
			return fifth(body)
		}}
		start := func(context.Context) (Stream, error) { return f, nil }
		p := streamPlan{messages: 10, size: 64}
		_, err := p.measure(t.Context(), streamType{"fake", start})
		if (err == nil) != (name == "right") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStreamTable(t *testing.T) {
	var b strings.Builder
	rows := []streamRow{{"stream", grpcName, 64, 1000000, 250000, 7.5, 12, 4096, 1}}
	if err := writeStreamTable(&b, rows); err != nil {
		t.Fatal(err)
	}
	want := `one bidirectional stream, 1,000,000 messages of 64 B
peer     messages/s  CPU µs/message  allocs/message  heap at most, KiB  to grpc-go
grpc-go     250,000            7.50            12.0              4,096       1.000
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
