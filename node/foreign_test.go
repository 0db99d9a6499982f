package node

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/meshnode/meshnode/rpc"
)

// foreign is a plain MessagePack-RPC client.
type foreign struct {
	net.Conn
	t   *testing.T
	dec *msgpack.Decoder
}

func dialForeign(t *testing.T, n *Node) *foreign {
	t.Helper()
	nc, err := net.Dial("tcp", n.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return newForeign(t, nc)
}

func newForeign(t *testing.T, nc net.Conn) *foreign {
	t.Helper()
	t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	c := &foreign{Conn: nc, t: t, dec: msgpack.NewDecoder(nc)}
	c.dec.UseLooseInterfaceDecoding(true)
	return c
}

func (c *foreign) send(message ...any) {
	c.t.Helper()
	b, err := msgpack.Marshal(message)
	if err == nil {
		_, err = c.Write(b)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// ask gives the code of the error, or OK and the result.
func (c *foreign) ask(method string, params ...any) (code string, result map[string]any) {
	c.t.Helper()
	if params == nil {
		params = []any{}
	}
	c.send(0, 1, method, params)
	return c.answer()
}

func (c *foreign) answer() (code string, result map[string]any) {
	c.t.Helper()
	v, err := c.dec.DecodeSlice()
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	if e, ok := v[2].(map[string]any); ok {
		return e["code"].(string), nil
	}
	result, _ = v[3].(map[string]any)
	return "OK", result
}

// A foreign client reaches owners, peers and any node through one of them.
func TestForeignCalls(t *testing.T) {
	t.Parallel()
	type m = map[string]any
	l := newLab(t)
	nodes := l.cluster("a", "b", "c")
	a := nodes[0]
	solo := rpc.NewMethod[[]byte, []byte]("lab.Solo")
	solo.Handle(nodes[2], func(_ context.Context, req *[]byte) (*[]byte, error) { return req, nil })
	c := dialForeign(t, a)
	for _, owner := range []string{"a", "b", "c"} {
		for _, key := range keysOf(a, owner, 3) {
			code, got := c.ask("lab.Work", m{"Key": key, "Data": []byte("x")}, m{"key": key})
			if code != "OK" || got["Node"] != owner || got["Keyed"] != true || got["Data"] != "x" {
				t.Errorf("key %q of %s: %s, %v", key, owner, code, got)
			}
			if ran := l.executed(key); len(ran) != 1 {
				t.Errorf("key %q ran on %v", key, ran)
			}
		}
		code, got := c.ask("lab.Work", nil, m{"peer": owner})
		if code != "OK" || got["Node"] != owner || got["Keyed"] != false {
			t.Errorf("peer %s: %s, %v", owner, code, got)
		}
		if code, got := c.ask("lab.Work"); code != "OK" || got["Node"] != "a" {
			t.Errorf("served here: %s, %v", code, got)
		}
	}
	if code, _ := c.ask("lab.Solo", []byte("x")); code != "OK" {
		t.Errorf("served by one other: %s", code)
	}
	for what, code := range map[string]string{
		"lab.Nope": "Unimplemented", "lab Work": "InvalidArgument", "lab.Safe": "OK",
	} {
		if got, _ := c.ask(what); got != code {
			t.Errorf("%s: %s, want %s", what, got, code)
		}
	}
	if code, _ := c.ask("lab.Work", nil, m{"peer": "z"}); code != "NotFound" {
		t.Errorf("unknown peer: %s", code)
	}
	stats := a.Stats()
	if stats["mprpc_conns"] != 1 || stats["mprpc_calls"] != 20 || stats["mprpc_errors"] != 3 {
		t.Errorf("counters %v", stats)
	}
}

// A node that leaves answers what its foreign clients have asked.
func TestForeignDrain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	running, release := make(chan struct{}, 8), make(chan struct{})
	l.do["block"] = func(_ context.Context, n *Node, _ *job) (*report, error) {
		running <- struct{}{}
		<-release
		return &report{Node: n.Name()}, nil
	}
	nodes := l.cluster("a", "b")
	a := nodes[0]
	c := dialForeign(t, a)
	for i, peer := range []string{"a", "b"} {
		c.send(0, i, "lab.Work", []any{map[string]any{"Do": "block"}, map[string]any{"peer": peer}})
	}
	await(t, "one call runs", running)
	await(t, "both calls run", running)
	stopped := make(chan error, 1)
	go func() { stopped <- a.Stop(t.Context()) }()
	eventually(t, "it drains", func() error {
		if nodes[1].Table().Has("a") {
			return fmt.Errorf("b still routes to a")
		}
		return nil
	})
	close(release)
	for range 2 {
		if code, _ := c.answer(); code != "OK" {
			t.Errorf("a call that was under way: %s", code)
		}
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("then the client sees %v", err)
	}
	_ = c.Close()
	if err := await(t, "Stop", stopped); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

// Who wants no such clients hangs up on them.
func TestNoForeignClients(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.edit = func(cfg *Config) { cfg.NoMsgpackRPC = true }
	a := l.start("a")
	talk(t, a, "\x94\x00\x01\xa5hello\x90")
	eventually(t, "it is counted", func() error {
		if got := a.Stats()["streams_refused"]; got != 1 {
			return fmt.Errorf("streams_refused is %d", got)
		}
		return nil
	})
}
