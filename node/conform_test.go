package node

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// behaviour is something that a program observes of a call. It is made once for the node that
// serves, and observed from that very node and from another one.
type behaviour struct {
	name   string
	blocks bool // no behaviour of a method that is inline
	want   string
	make   func(c *conform) observe
}

// observe makes a call and says what it has observed.
type observe func(from *Node, to rpc.CallOption) string

// conform is a node that serves, in one variant of methods.
type conform struct {
	t    *testing.T
	n    *Node
	name string // of the method
	opts []rpc.MethodOption
}

// serves declares the method of a behaviour and serves it.
func serves[Req, Reply any](c *conform, fn func(ctx context.Context, req *Req) (*Reply, error)) rpc.Method[Req, Reply] {
	m := rpc.NewMethod[Req, Reply](c.name, c.opts...)
	m.Handle(c.n, fn)
	return m
}

// conformLimit is the MaxBody of the nodes of TestLocalCallsConform, in bytes.
const conformLimit = 100 << 10

// A program cannot observe whether its own node served a call, or another one over a connection.
func TestLocalCallsConform(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.edit = func(cfg *Config) { cfg.Limits.Transport.MaxBody = conformLimit }
	nodes := l.cluster("a", "b")
	variants := map[string][]rpc.MethodOption{
		"plain": nil, "inline": {rpc.Inline()}, "compressed": {rpc.Compress(rpc.S2)},
		"hedged": {rpc.Idempotent(), rpc.Hedge(time.Millisecond)},
	}
	var all []behaviour
	for _, some := range [][]behaviour{ownership(), values(), limits(), failures(), contexts(), oneWays()} {
		all = append(all, some...)
	}
	for variant, opts := range variants {
		for _, b := range all {
			if b.blocks && variant == "inline" {
				continue
			}
			t.Run(variant+"/"+b.name, func(t *testing.T) {
				c := &conform{t: t, n: nodes[1], opts: opts, name: fmt.Sprintf("conform.%s-%x", variant, b.name)}
				observe := b.make(c)
				for path, to := range map[string]rpc.CallOption{"peer": rpc.Peer("b"), "key": rpc.Key(keysOf(nodes[1], "b", 1)[0])} {
					remote := observe(nodes[0], to)
					if b.want != "" && remote != b.want {
						t.Errorf("remote by %s: %q, want %q", path, remote, b.want)
					}
					if local := observe(nodes[1], to); local != remote {
						t.Errorf("local by %s: %q, remote %q", path, local, remote)
					}
				}
			})
		}
	}
}

// told says all that a caller can learn from an error.
func told(err error) string {
	var e *rpc.Error
	if !errors.As(err, &e) {
		return fmt.Sprintf("%v", err)
	}
	return fmt.Sprintf("%v, message %q, detail %v, retry after %v", e.Code, e.Message, e.Detail, e.RetryAfter)
}

// ownership is who may use what memory.
func ownership() []behaviour {
	type list struct {
		N []int
		M map[string]int
	}
	return []behaviour{
		{name: "the handler changes the request", want: "[3 1 2] map[a:1]", make: func(c *conform) observe {
			m := serves(c, func(_ context.Context, req *list) (*list, error) {
				req.N[0], req.M["b"] = 99, 1
				return nil, nil
			})
			return func(from *Node, to rpc.CallOption) string {
				req := &list{N: []int{3, 1, 2}, M: map[string]int{"a": 1}}
				if _, err := m.Call(c.t.Context(), from, req, to); err != nil {
					return told(err)
				}
				return fmt.Sprint(req.N, req.M)
			}
		}},
		{name: "caller and handler keep the reply", want: "[1] then [1]", make: func(c *conform) observe {
			kept := &list{N: []int{1}}
			m := serves(c, func(context.Context, *list) (*list, error) { return kept, nil })
			return func(from *Node, to rpc.CallOption) string {
				first, err := m.Call(c.t.Context(), from, nil, to)
				if err != nil {
					return told(err)
				}
				was := fmt.Sprint(first.N)
				first.N[0] = 2
				second, err := m.Call(c.t.Context(), from, nil, to)
				if err != nil {
					return told(err)
				}
				return was + " then " + fmt.Sprint(second.N)
			}
		}},
		{name: "bytes that come back are nobody else's", want: `"request" "XXXXXXX" "XXXXXXX"`, make: func(c *conform) observe {
			m := serves(c, func(_ context.Context, req *[]byte) (*[]byte, error) {
				for i := range *req {
					(*req)[i] = 'X'
				}
				return req, nil
			})
			return func(from *Node, to rpc.CallOption) string {
				req := []byte("request")
				first, err1 := m.Call(c.t.Context(), from, &req, to)
				second, err2 := m.Call(c.t.Context(), from, &req, to)
				if err := errors.Join(err1, err2); err != nil {
					return told(err)
				}
				return fmt.Sprintf("%q %q %q", req, *first, *second)
			}
		}},
		{name: "the caller gives up and goes on", blocks: true, want: "7", make: func(c *conform) observe {
			began, release, seen := make(chan struct{}), make(chan struct{}), make(chan int)
			m := serves(c, func(ctx context.Context, req *list) (*list, error) {
				select { // the second of two that are hedged
				case began <- struct{}{}:
				case <-ctx.Done():
					return nil, nil
				}
				<-release
				seen <- req.N[0]
				return nil, nil
			})
			return func(from *Node, to rpc.CallOption) string {
				req := &list{N: []int{7}}
				ctx, cancel := context.WithCancel(c.t.Context())
				ended := make(chan error, 1)
				go func() { _, err := m.Call(ctx, from, req, to); ended <- err }()
				await(c.t, "the handler's begin", began)
				cancel()
				wantCode(c.t, await(c.t, "the end of the call", ended), rpc.Canceled)
				req.N[0] = 8
				release <- struct{}{}
				return fmt.Sprint(await(c.t, "what the handler has", seen))
			}
		}},
	}
}

// values is what arrives of values.
func values() []behaviour {
	type bag struct {
		Any     any
		Bytes   []byte
		Numbers []int
		Map     map[string]int
		Inner   *bag
		When    time.Time
		hidden  int
	}
	show := func(b *bag) string {
		return fmt.Sprintf("%#v %#v %#v %#v %v %v %d", b.Any, b.Bytes, b.Numbers, b.Map, b.Inner != nil, b.When, b.hidden)
	}
	now := time.Now()
	cases := map[string]*bag{
		"nothing": {}, "empty": {Bytes: []byte{}, Numbers: []int{}, Map: map[string]int{}, Inner: &bag{}},
		"hidden": {hidden: 7}, "time": {When: now},
	}
	for name, v := range map[string]any{
		"int": 127, "large int": 128, "huge": int64(1) << 40, "unsigned": ^uint64(0), "bytes": []byte{1},
		"text": "", "map": map[string]any{"a": 1}, "list": []string{"a"}, "float": 1.5, "struct": struct{ A int }{1},
	} {
		cases["any "+name] = &bag{Any: v}
	}
	var all []behaviour
	for name, req := range cases {
		all = append(all, behaviour{name: name, make: func(c *conform) observe {
			arrived := make(chan string, 2)
			m := serves(c, func(_ context.Context, req *bag) (*bag, error) {
				select {
				case arrived <- show(req):
				default: // of a hedge
				}
				return req, nil
			})
			return func(from *Node, to rpc.CallOption) string {
				reply, err := m.Call(c.t.Context(), from, req, to)
				if err != nil {
					return told(err)
				}
				there := <-arrived
				for len(arrived) > 0 {
					<-arrived
				}
				return there + " and back " + show(reply)
			}
		}})
	}
	return all
}
