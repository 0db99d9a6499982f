package node

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/rpc"
)

// The benchmarks run the same 64-byte echo between two nodes of one process
// over loopback, by BenchmarkMesh through everything this project does, and by
// BenchmarkLimit through the least that a multiplexed echo can do. Compare
// calls/s within one run: machines differ, ratios differ less.

type benchRequest struct {
	ID    uint64 `msgpack:"id"`
	Name  string `msgpack:"name"`
	Score float64
	Data  []byte
}

var (
	rawEcho    = rpc.NewMethod[[]byte, []byte]("bench.Raw", rpc.Idempotent(), rpc.Inline())
	workerEcho = rpc.NewMethod[[]byte, []byte]("bench.Worker", rpc.Idempotent())
	typedEcho  = rpc.NewMethod[benchRequest, benchRequest]("bench.Typed", rpc.Idempotent(), rpc.Inline())
)

// callersOf are the numbers of concurrent callers that are measured.
var callersOf = []int{1, 64, 512}

func BenchmarkMesh(b *testing.B) {
	ctx := context.Background()
	a, z := benchNodes(b)
	key := keyOf(a, z.Name())
	body := bytes.Repeat([]byte{7}, 64)
	typed := &benchRequest{ID: 1 << 40, Name: "a name of some length", Score: 0.5, Data: body[:24]}
	for _, callers := range callersOf {
		b.Run(fmt.Sprintf("raw/c=%d", callers), func(b *testing.B) {
			concurrently(b, callers, func() error {
				_, err := rawEcho.Call(ctx, a, &body, rpc.Peer("z"))
				return err
			})
		})
		b.Run(fmt.Sprintf("raw-worker/c=%d", callers), func(b *testing.B) {
			concurrently(b, callers, func() error {
				_, err := workerEcho.Call(ctx, a, &body, rpc.Peer("z"))
				return err
			})
		})
		b.Run(fmt.Sprintf("typed-keyed/c=%d", callers), func(b *testing.B) {
			concurrently(b, callers, func() error {
				_, err := typedEcho.Call(ctx, a, typed, rpc.Key(key))
				return err
			})
		})
	}
	b.Run("local-keyed/c=1", func(b *testing.B) {
		local := keyOf(a, a.Name())
		concurrently(b, 1, func() error {
			_, err := typedEcho.Call(ctx, a, typed, rpc.Key(local))
			return err
		})
	})
	b.Run("local-worker/c=1", func(b *testing.B) {
		concurrently(b, 1, func() error {
			_, err := workerEcho.Call(ctx, a, &body, rpc.Peer(a.Name()))
			return err
		})
	})
}

// benchNodes gives two nodes that know each other.
func benchNodes(b *testing.B) (a, z *Node) {
	b.Helper()
	start := func(name string, seeds ...string) *Node {
		n, err := New(Config{Name: name, Cluster: "bench", Seeds: seeds, Expect: len(seeds) + 1, Profile: membership.Local})
		if err != nil {
			b.Fatal(err)
		}
		rawEcho.Handle(n, func(_ context.Context, req *[]byte) (*[]byte, error) { return req, nil })
		workerEcho.Handle(n, func(_ context.Context, req *[]byte) (*[]byte, error) { return req, nil })
		typedEcho.Handle(n, func(_ context.Context, req *benchRequest) (*benchRequest, error) { return req, nil })
		if err := n.Start(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(n.Close)
		return n
	}
	z = start("z")
	return start("a", z.Addr().String()), z
}

// keyOf gives a key that owner owns by n's table.
func keyOf(n *Node, owner string) string {
	for i := 0; ; i++ {
		key := fmt.Sprintf("key-%d", i)
		if _, name := n.Table().Lookup(key); name == owner {
			return key
		}
	}
}

// concurrently makes b.N calls by so many callers.
func concurrently(b *testing.B, callers int, call func() error) {
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
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

func BenchmarkLimit(b *testing.B) {
	body := bytes.Repeat([]byte{7}, 64)
	for _, callers := range callersOf {
		b.Run(fmt.Sprintf("c=%d", callers), func(b *testing.B) {
			l := startLimit(b)
			concurrently(b, callers, func() error { return l.call(body) })
		})
	}
}

// limit is the bare multiplexer: an 8-byte head (length, id) and a body, one
// flusher on each side that writes what has gathered, the echo on the reader.
type limit struct {
	out   *limitWriter
	mu    sync.Mutex
	waits map[uint32]chan struct{}
	last  uint32
	free  sync.Pool
}

func startLimit(b *testing.B) *limit {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	peer, err := ln.Accept()
	if err != nil {
		b.Fatal(err)
	}
	echo := newLimitWriter(peer)
	go readLimit(peer, func(head, body []byte) { echo.send(head, body, false) })
	l := &limit{out: newLimitWriter(nc), waits: make(map[uint32]chan struct{})}
	l.free.New = func() any { return make(chan struct{}, 1) }
	go readLimit(nc, l.answered)
	b.Cleanup(func() {
		for _, c := range []interface{ Close() error }{nc, peer, ln} {
			_ = c.Close()
		}
		l.out.stop()
		echo.stop()
	})
	return l
}

func (l *limit) answered(head, _ []byte) {
	id := binary.BigEndian.Uint32(head[4:])
	l.mu.Lock()
	ch := l.waits[id]
	delete(l.waits, id)
	l.mu.Unlock()
	ch <- struct{}{}
}

func (l *limit) call(body []byte) error {
	ch := l.free.Get().(chan struct{})
	l.mu.Lock()
	l.last++
	id := l.last
	l.waits[id] = ch
	alone := len(l.waits) == 1
	l.mu.Unlock()
	var head [8]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(body)))
	binary.BigEndian.PutUint32(head[4:], id)
	l.out.send(head[:], body, alone)
	<-ch
	l.free.Put(ch)
	return nil
}

// readLimit cuts a stream into frames until it ends.
func readLimit(nc net.Conn, frame func(head, body []byte)) {
	buf := make([]byte, 64<<10)
	have := 0
	for {
		n, err := nc.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		at := 0
		for have-at >= 8 {
			end := at + 8 + int(binary.BigEndian.Uint32(buf[at:]))
			if end > have {
				break
			}
			frame(buf[at:at+8], buf[at+8:end])
			at = end
		}
		have = copy(buf, buf[at:have])
	}
}

// limitWriter gathers frames; its flusher yields once and writes them together.
// A caller that is alone writes by itself.
type limitWriter struct {
	nc         net.Conn
	mu         sync.Mutex
	buf, spare []byte
	wake, done chan struct{}
}

func newLimitWriter(nc net.Conn) *limitWriter {
	w := &limitWriter{nc: nc, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go w.flush()
	return w
}

func (w *limitWriter) stop() { close(w.done) }

func (w *limitWriter) send(head, body []byte, alone bool) {
	w.mu.Lock()
	w.buf = append(append(w.buf, head...), body...)
	if alone {
		_, _ = w.nc.Write(w.buf)
		w.buf = w.buf[:0]
		w.mu.Unlock()
		return
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *limitWriter) flush() {
	for {
		select {
		case <-w.wake:
		case <-w.done:
			return
		}
		runtime.Gosched()
		w.mu.Lock()
		out := w.buf
		w.buf, w.spare = w.spare[:0], out
		_, _ = w.nc.Write(out)
		w.mu.Unlock()
	}
}
