package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/meshnode/meshnode/internal/compress"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// Compressed bodies arrive as they were, raw and typed, between nodes and from
// a client, and fewer bytes travel.
func TestCompressedBodies(t *testing.T) {
	nodes := newLab(t).cluster("a", "b")
	client, err := Dial(t.Context(), nodes[1].Addr().String(), ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	for _, how := range []rpc.Compression{rpc.S2, rpc.Zstd} {
		raw := rpc.NewMethod[[]byte, []byte](fmt.Sprint("test.Raw", how), rpc.Compress(how))
		typed := rpc.NewMethod[job, job](fmt.Sprint("test.Typed", how), rpc.Compress(how))
		for _, n := range nodes {
			raw.Handle(n, func(_ context.Context, req *[]byte) (*[]byte, error) { return req, nil })
			typed.Handle(n, func(_ context.Context, req *job) (*job, error) { return req, nil })
		}
		for _, size := range []int{0, 1, minCompressed, 100_000, 1 << 20} {
			body := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
			for name, from := range map[string]rpc.Caller{"node": nodes[0], "client": client} {
				opt := rpc.Peer("b")
				if name == "client" {
					opt = rpc.Any(rpc.RoundRobin)
				}
				got, err := raw.Call(t.Context(), from, &body, opt)
				if err != nil || !bytes.Equal(*got, body) {
					t.Errorf("%s, %d raw bytes: %v", name, size, err)
				}
				back, err := typed.Call(t.Context(), from, &job{Data: body}, opt)
				if err != nil || !bytes.Equal(back.Data, body) {
					t.Errorf("%s, %d typed bytes: %v", name, size, err)
				}
			}
		}
	}
}

// A body that expands beyond the limit, or not at all, is refused by name, and
// costs little; the connection goes on.
func TestCompressionBomb(t *testing.T) {
	l := newLab(t)
	l.edit = func(cfg *Config) { cfg.Limits.Transport.MaxBody = 64 << 10 }
	n := l.start("a")
	raw := rpc.NewMethod[[]byte, []byte]("test.Raw")
	ran := 0
	raw.Handle(n, func(_ context.Context, req *[]byte) (*[]byte, error) { ran++; return req, nil })
	ep, err := transport.NewEndpoint(transport.Config{Cluster: l.name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ep.Close)
	conn, err := ep.Dial(t.Context(), n.Addr().String(), "")
	if err != nil {
		t.Fatal(err)
	}
	var codec compress.Codec
	for _, c := range []struct {
		name     string
		encoding compress.Algorithm
		size     int
		want     rpc.Code
	}{
		{"S2 within", compress.S2, 64 << 10, rpc.OK},
		{"S2 bomb", compress.S2, 64<<10 + 1, rpc.ResourceExhausted},
		{"S2 large bomb", compress.S2, 100 << 20, rpc.ResourceExhausted},
		{"zstd bomb", compress.Zstd, 100 << 20, rpc.ResourceExhausted},
		{"corrupt", compress.S2, -1, rpc.InvalidArgument},
		{"unknown", 77, -1, rpc.InvalidArgument},
	} {
		body := []byte("\xff\xff\xff\xffnot compressed")
		if c.size >= 0 {
			if body, err = codec.Append(nil, make([]byte, c.size), c.encoding); err != nil {
				t.Fatal(err)
			}
		}
		if len(body) > 64<<10 {
			body = body[:64<<10] // its beginning declares the same
		}
		req := transport.Request{Method: raw.Name(), Body: body}
		req.Meta = transport.Meta{Partition: transport.NoPartition, Encoding: uint8(c.encoding)}
		reply, err := conn.Call(t.Context(), &req)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := rpc.Code(reply.Code); got != c.want {
			t.Errorf("%s (%d bytes): %v %s, want %v", c.name, len(body), got, reply.Meta.Message, c.want)
		}
		reply.Release()
	}
	if ran != 1 || n.Stats()["bad_bodies"] != 5 {
		t.Errorf("%d handlers ran, %d bad bodies were counted", ran, n.Stats()["bad_bodies"])
	}
	if _, err := raw.Call(context.Background(), n, &[]byte{1}); errors.Is(err, rpc.Unavailable) {
		t.Error(err)
	}
}
