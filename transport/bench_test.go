package transport

import (
	"context"
	"fmt"
	"sync"
	"testing"
)

// echo answers every call with its own body.
type echo struct{}

func (echo) ServeCall(in *Incoming) { _ = in.Reply(CodeOK, nil, in.Body) }

func benchPair(b testing.TB) *Conn {
	b.Helper()
	server, err := NewEndpoint(Config{Name: "b", Cluster: "bench", Handler: echo{}})
	if err != nil {
		b.Fatal(err)
	}
	client, err := NewEndpoint(Config{Name: "a", Cluster: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	port, err := OpenPort(context.Background(), System(), "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = port.Serve(StreamHandlers{Mesh: server.ServeConn}) }()
	b.Cleanup(func() {
		client.Close()
		server.Close()
		_ = port.Close()
	})
	c, err := client.Dial(context.Background(), port.Addr().String(), "b")
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func parallel(b *testing.B, callers int, call func()) {
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range callers {
		n := b.N / callers
		if i < b.N%callers {
			n++
		}
		wg.Go(func() {
			for range n {
				call()
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// BenchmarkCall is a 64-byte echo over one connection, without routing or
// encoding of values. Package node has the same through everything, and the
// limit to compare with.
func BenchmarkCall(b *testing.B) {
	for _, callers := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("c=%d", callers), func(b *testing.B) {
			c := benchPair(b)
			body := make([]byte, 64)
			parallel(b, callers, func() {
				r, err := c.Call(context.Background(), &Request{Method: "echo", Body: body, Meta: Meta{Partition: NoPartition}})
				if err != nil {
					b.Error(err)
					return
				}
				r.Release()
			})
		})
	}
}
