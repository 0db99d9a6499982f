package node

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// dial connects a client to n.
func dial(t *testing.T, n *Node, cfg ClientConfig) *Client {
	t.Helper()
	c, err := Dial(t.Context(), n.Addr().String(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// A client reaches every destination through the node that it is connected to.
func TestClientDestinations(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b", "c")
	c := dial(t, nodes[0], ClientConfig{Cluster: l.name})
	table := nodes[0].Table()
	for range 3 {
		var who string
		got, err := work.Call(t.Context(), c, &job{}, rpc.Answered(&who))
		if err != nil || got.Node != "a" || who != "a" {
			t.Errorf("to any: %+v by %q, %v", got, who, err)
		}
	}
	for _, key := range []string{"", "x", "y", "z", "\x00"} {
		partition, owner := table.Lookup(key)
		var who string
		got, err := work.Call(t.Context(), c, &job{Data: []byte("d")}, rpc.Key(key), rpc.Answered(&who))
		if err != nil || got.Node != owner || who != owner || !got.Keyed || got.Partition != partition || string(got.Data) != "d" {
			t.Errorf("to the key %q: %+v by %q, %v; want %s", key, got, who, err, owner)
		}
		all, err := work.Gather(t.Context(), c, &job{}, rpc.Owners(key, 2))
		want := table.Owners(partition, 2, nil)
		if err != nil || len(all) != 2 || all[0].Peer != want[0] || all[1].Peer != want[1] || all[1].Reply.Node != want[1] {
			t.Errorf("to the owners of %q: %+v, %v; want %v", key, all, err, want)
		}
	}
	for _, n := range nodes {
		var who string
		got, err := work.Call(t.Context(), c, &job{}, rpc.Peer(n.Name()), rpc.Answered(&who))
		if err != nil || got.Node != n.Name() || who != n.Name() {
			t.Errorf("to the peer %s: %+v by %q, %v", n.Name(), got, who, err)
		}
	}
	all, err := work.Gather(t.Context(), c, &job{})
	if err != nil || len(all) != 3 || all[0].Reply.Node != "a" || all[1].Reply.Node != "b" || all[2].Reply.Node != "c" {
		t.Errorf("to all: %+v, %v", all, err)
	}
}

func TestClientErrors(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.do["fail"] = func(context.Context, *Node, *job) (*report, error) {
		return nil, &rpc.Error{Code: rpc.FailedPrecondition, Message: "not now", Detail: []byte("\x00d")}
	}
	release := make(chan struct{})
	defer close(release)
	l.do["deaf"] = func(context.Context, *Node, *job) (*report, error) { <-release; return nil, nil }
	l.edit = func(cfg *Config) { cfg.Limits.Transport.MaxBody = 64 << 10 }
	nodes := l.cluster("a", "b")
	c := dial(t, nodes[0], ClientConfig{})
	nobody := rpc.NewMethod[job, report]("lab.Nobody")
	many := make([]rpc.CallOption, rpc.MaxMetadata+1)
	for i := range many {
		many[i] = rpc.WithMetadata(strings.Repeat("k", i), "")
	}
	for what, to := range map[string]rpc.CallOption{
		"any": rpc.Any(""), "key": rpc.Key(keysOf(nodes[0], "b", 1)[0]), "peer": rpc.Peer("b"), "self": rpc.Peer("a"),
	} {
		var who string
		_, err := work.Call(t.Context(), c, &job{Do: "fail"}, to, rpc.Answered(&who))
		e := wantCode(t, err, rpc.FailedPrecondition)
		if e.Message != "not now" || string(e.Detail) != "\x00d" || who == "" {
			t.Errorf("%s: %q answered %+v", what, who, e)
		}
		_, err = nobody.Call(t.Context(), c, nil, to)
		wantCode(t, err, rpc.Unimplemented)
		within(t, 50*time.Millisecond, func() {
			_, err := work.Call(t.Context(), c, &job{Do: "deaf"}, to, rpc.Timeout(50*time.Millisecond))
			wantCode(t, err, rpc.DeadlineExceeded)
		})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = work.Call(ctx, c, &job{}, to)
		wantCode(t, err, rpc.Canceled)
		_, err = work.Call(t.Context(), c, &job{Data: make([]byte, 100<<10)}, to)
		wantCode(t, err, rpc.ResourceExhausted)
		_, err = work.Call(t.Context(), c, &job{}, append(many, to)...)
		wantCode(t, err, rpc.InvalidArgument)
	}
	_, err := work.Call(t.Context(), c, &job{}, rpc.Peer("z"))
	wantCode(t, err, rpc.NotFound)
	_, err = work.Gather(t.Context(), c, &job{}, rpc.Owners("k", 0))
	wantCode(t, err, rpc.InvalidArgument)
	_, err = c.Targets(t.Context(), rpc.Dest{Kind: rpc.ToKey})
	wantCode(t, err, rpc.InvalidArgument)
	wantCode(t, c.Invoke(t.Context(), &rpc.Call{Spec: work.Spec(), Req: &job{}, Dest: rpc.Dest{Kind: rpc.ToAll}}), rpc.InvalidArgument)
}

// Metadata reach the handler through the node that forwards; one-way calls
// arrive.
func TestClientMetadataAndSend(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	seen := make(chan *rpc.Info, 1)
	l.do["look"] = func(ctx context.Context, _ *Node, _ *job) (*report, error) {
		info, _ := rpc.InfoFrom(ctx)
		seen <- info
		return nil, nil
	}
	release := make(chan struct{})
	l.do["wait"] = func(ctx context.Context, _ *Node, _ *job) (*report, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil, ctx.Err()
	}
	nodes := l.cluster("a", "b")
	c := dial(t, nodes[0], ClientConfig{})
	for what, to := range map[string]rpc.CallOption{"any": rpc.Any(""), "peer": rpc.Peer("b"), "key": rpc.Key("k")} {
		if _, err := work.Call(t.Context(), c, &job{Do: "look"}, to, rpc.WithMetadata("k", "v")); err != nil {
			t.Fatal(err)
		}
		if got := await(t, "the call", seen); !maps.Equal(got.Metadata, rpc.Metadata{"k": "v"}) {
			t.Errorf("%s: %+v", what, got)
		}
		if err := work.Send(t.Context(), c, &job{Do: "look"}, to); err != nil {
			t.Fatal(err)
		}
		if got := await(t, "the one-way call", seen); got.Metadata != nil {
			t.Errorf("%s: %+v", what, got)
		}
		if err := work.Send(t.Context(), c, &job{Do: "wait"}, to); err != nil { // does not wait for it
			t.Fatal(err)
		}
		release <- struct{}{}
	}
}

func TestDialErrors(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	cases := map[string]struct {
		addr string
		cfg  ClientConfig
		is   error
		want []string
	}{
		"cluster":    {a.Addr().String(), ClientConfig{Cluster: "other"}, transport.ErrCluster, []string{l.name, "other", a.Addr().String()}},
		"no port":    {"127.0.0.1", ClientConfig{}, nil, []string{"127.0.0.1", "host:port"}},
		"port 0":     {"127.0.0.1:0", ClientConfig{}, nil, []string{"1 to 65535"}},
		"bad port":   {"127.0.0.1:http", ClientConfig{}, nil, []string{"http", "1 to 65535"}},
		"nobody":     {fixedAddr(t), ClientConfig{}, nil, []string{"cannot reach a node at"}},
		"no address": {"nowhere.invalid:1", ClientConfig{Network: noNames{transport.System()}}, nil, []string{"nowhere.invalid:1", "no address"}},
		"frame":      {a.Addr().String(), ClientConfig{Limits: transport.Limits{MaxBody: 1}}, nil, []string{"MaxBody"}},
	}
	for what, c := range cases {
		client, err := Dial(t.Context(), c.addr, c.cfg)
		if err == nil {
			client.Close()
			t.Errorf("%s: it connects", what)
			continue
		}
		if c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v is no %v", what, err, c.is)
		}
		for _, part := range c.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: the error lacks %q: %v", what, part, err)
			}
		}
		if strings.Contains(err.Error(), "not sent") {
			t.Errorf("%s: the error speaks of sending: %v", what, err)
		}
	}
	l.log("a").wait(t, "warn", "connection refused", "other")
}

// noNames resolves every name to nothing.
type noNames struct{ transport.Network }

func (noNames) Resolve(context.Context, string) ([]netip.Addr, error) { return nil, nil }

// A client whose node dies fails, and works again when the node is back.
func TestClientOutlivesItsNode(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	addr := fixedAddr(t)
	l.edit = func(cfg *Config) { cfg.Bind = addr }
	began, release := make(chan struct{}, 1), make(chan struct{})
	l.do["hang"] = func(ctx context.Context, _ *Node, _ *job) (*report, error) {
		began <- struct{}{}
		select {
		case <-ctx.Done():
		case <-release:
		}
		return nil, ctx.Err()
	}
	a := l.start("a")
	c := dial(t, a, ClientConfig{})
	failed := make(chan error, 1)
	go func() {
		_, err := safe.Call(t.Context(), c, &job{Do: "hang"})
		failed <- err
	}()
	await(t, "the handler's begin", began)
	a.Close()
	wantCode(t, await(t, "the end of the call", failed), rpc.Unavailable)
	_, err := work.Call(t.Context(), c, &job{})
	wantCode(t, err, rpc.Unavailable)
	l.start("a")
	eventually(t, "calls work again", func() error {
		_, err := work.Call(t.Context(), c, &job{})
		return err
	})
	c.Close()
	_, err = work.Call(t.Context(), c, &job{})
	wantCode(t, err, rpc.Unavailable)
}

// A node that answers nonsense is an error, not a crash.
func TestClientOfALiar(t *testing.T) {
	t.Parallel()
	liar := transport.Config{Name: "liar", Cluster: "lab", Handler: lies{}}
	ep, err := transport.NewEndpoint(liar)
	if err != nil {
		t.Fatal(err)
	}
	defer ep.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		if nc, err := ln.Accept(); err == nil {
			ep.ServeConn(nc)
		}
	}()
	c, err := Dial(t.Context(), ln.Addr().String(), ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, opt := range []rpc.CallOption{rpc.Any(""), rpc.Key("k"), rpc.Peer("b")} {
		_, err := work.Call(t.Context(), c, nil, opt)
		wantCode(t, err, rpc.Internal)
	}
	_, err = work.Gather(t.Context(), c, nil, rpc.Owners("k", 1))
	wantCode(t, err, rpc.Unavailable)
	if all, err := work.Gather(t.Context(), c, nil); err != nil || len(all) != 0 {
		t.Errorf("to all: %v, %v", all, err)
	}
}

// lies answers everything well formed and wrong.
type lies struct{}

func (lies) ServeCall(in *transport.Incoming) {
	body := []byte{0xa1, 'x'}
	if method := string(in.Method); strings.HasPrefix(method, "mesh.") {
		body = []byte{0x80} // an empty reply
	}
	_ = in.Reply(transport.CodeOK, nil, body)
}
