package mprpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"go.uber.org/goleak"

	"github.com/meshnode/meshnode/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen in the end.
const patience = 20 * time.Second

type (
	text struct{ Text string }

	// handler gives the encoded reply to a call.
	handler func(ctx context.Context, call *rpc.Call) ([]byte, error)
)

var (
	typed = rpc.NewMethod[text, text]("lab.Typed", rpc.Idempotent(), rpc.DefaultTimeout(time.Minute))
	raw   = rpc.NewMethod[[]byte, []byte]("lab.Raw")
	mixed = rpc.NewMethod[[]byte, text]("lab.Mixed")
)

// lab is a gateway before a mesh that does what the test says. The methods
// above are served by the gateway's own node.
type lab struct {
	*Gateway
	t testing.TB

	mu    sync.Mutex
	do    map[string]handler // by method; without one, the body comes back
	calls []rpc.Call         // all that were invoked
}

func newLab(t testing.TB, limits Limits) *lab {
	l := &lab{t: t, do: make(map[string]handler)}
	own := map[string]*rpc.Spec{
		typed.Name(): typed.Spec(), raw.Name(): raw.Spec(), mixed.Name(): mixed.Spec(),
	}
	l.Gateway = New(Config{
		Invoke: l.invoke, Self: "self", Limits: limits,
		Served: func(method string) *rpc.Spec { return own[method] },
	})
	t.Cleanup(func() {
		l.Close()
		if held, calls := l.held.Load(), l.inFlight.Load(); held != 0 || calls != 0 {
			t.Errorf("at the end %d bytes are held and %d calls in flight", held, calls)
		}
	})
	return l
}

func (l *lab) invoke(ctx context.Context, call *rpc.Call) error {
	l.mu.Lock()
	l.calls = append(l.calls, *call)
	do := l.do[call.Spec.Name()]
	l.mu.Unlock()
	body, err := call.Spec.AppendRequest(nil, call.Req)
	if err == nil && do != nil {
		body, err = do(ctx, call)
	}
	if err != nil {
		return err
	}
	call.Reply = &body
	return nil
}

// invoked gives the calls so far.
func (l *lab) invoked() []rpc.Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]rpc.Call(nil), l.calls...)
}

func (l *lab) count(c counter) uint64 { return l.stats.counts[c].Load() }

// wantCounts fails unless the counters are these and all others are 0.
func (l *lab) wantCounts(want map[string]uint64) {
	l.t.Helper()
	for name, n := range l.Stats() {
		if n != want[name] {
			l.t.Errorf("%s is %d, want %d", name, n, want[name])
		}
	}
}

// client is the other end of a stream. What it decodes it decodes with a
// library that the gateway does not use.
type client struct {
	net.Conn
	t    testing.TB
	dec  *msgpack.Decoder
	done chan struct{} // closed when ServeConn has returned
}

// visitor is who clients are known as.
var visitor = rpc.Identity{Name: "visitor", Verified: true}

// connect gives a client on an in-memory stream without any buffer.
func (l *lab) connect() *client {
	near, far := net.Pipe()
	return l.serve(near, far)
}

func (l *lab) serve(near, far net.Conn) *client {
	c := &client{Conn: near, t: l.t, dec: msgpack.NewDecoder(near), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		l.ServeConn(far, visitor)
	}()
	l.t.Cleanup(func() { _ = near.Close() })
	return c
}

// send writes values one after the other.
func (c *client) send(values ...any) {
	c.t.Helper()
	var b bytes.Buffer
	for _, v := range values {
		if err := msgpack.NewEncoder(&b).Encode(v); err != nil {
			c.t.Fatal(err)
		}
	}
	c.write(b.Bytes())
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

type answer struct {
	ID     int64
	Err    map[string]any
	Result any
}

// answer reads one.
func (c *client) answer() answer {
	c.t.Helper()
	a, err := c.next()
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	return a
}

func (c *client) next() (a answer, err error) {
	v, err := c.dec.DecodeInterface()
	if err != nil {
		return a, err
	}
	parts, ok := widened(v).([]any)
	if !ok || len(parts) != 4 || parts[0] != int64(1) {
		return a, fmt.Errorf("%v is no response", v)
	}
	a.Result = parts[3]
	if a.ID, ok = parts[1].(int64); !ok {
		return a, fmt.Errorf("id %v of %T", parts[1], parts[1])
	}
	if parts[2] != nil {
		if a.Err, ok = parts[2].(map[string]any); !ok || a.Result != nil {
			return a, fmt.Errorf("error %v beside result %v", parts[2], a.Result)
		}
	}
	return a, nil
}

// widened is v with all its integers as int64: they come in the size that they
// were sent in.
func widened(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = widened(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = widened(v[k])
		}
	}
	switch r := reflect.ValueOf(v); {
	case r.CanInt():
		return r.Int()
	case r.CanUint():
		return int64(r.Uint())
	}
	return v
}

// ask sends one request and reads the answer to it.
func (c *client) ask(id int64, method any, params ...any) answer {
	c.t.Helper()
	if params == nil {
		params = []any{}
	}
	c.send([]any{0, id, method, params})
	a := c.answer()
	if a.ID != id {
		c.t.Fatalf("the answer to %d is for %d", id, a.ID)
	}
	return a
}

// wantCode fails unless the answer is an error with that code.
func (a answer) wantCode(t testing.TB, what string, code rpc.Code) {
	t.Helper()
	if a.Err["code"] != code.String() || a.Err["message"] == "" {
		t.Errorf("%s: error %v, result %v, want %v", what, a.Err, a.Result, code)
	}
}

func (a answer) wantResult(t testing.TB, what string, want any) {
	t.Helper()
	if a.Err != nil || !reflect.DeepEqual(a.Result, want) {
		t.Errorf("%s: error %v, result %#v, want %#v", what, a.Err, a.Result, want)
	}
}

// wantEnd waits until the gateway has hung up and let go of the stream.
func (c *client) wantEnd(what string) {
	c.t.Helper()
	if a, err := c.next(); err == nil {
		c.t.Errorf("%s: answer %v", what, a)
	} else if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
		c.t.Errorf("%s: %v", what, err)
	}
	await(c.t, what, c.done)
}

// await waits for a channel to be closed or filled.
func await[T any](t testing.TB, what string, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatalf("%s: not after %v", what, patience)
	}
	return v
}

// eventually waits until cond holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !cond(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not after %v", what, patience)
		}
	}
}
