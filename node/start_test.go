package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/router"
	"github.com/meshnode/meshnode/rpc"
)

// A node whose seed does not answer keeps looking, says so, and joins as soon
// as there is one.
func TestRunWithoutItsSeed(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nowhere := fixedAddr(t)
	cfg := l.config("b")
	cfg.Seeds = []string{nowhere}
	b := l.build(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	l.log("b").wait(t, "warn", "no seed could be joined", nowhere)
	if ready, why := b.Ready(); ready || !strings.Contains(why, "seed") {
		t.Errorf("ready: %v, %q", ready, why)
	}
	_, err := work.Call(t.Context(), b, &job{}, rpc.Key("k"), rpc.Timeout(50*time.Millisecond))
	if e := wantCode(t, err, rpc.DeadlineExceeded); !strings.Contains(e.Message, "looks for a seed") {
		t.Errorf("a keyed call does not say what it waited for: %v", e)
	}
	c, err := Dial(t.Context(), b.Addr().String(), ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pong, err := Ping.Call(t.Context(), c, nil)
	if err != nil || pong.Ready || !strings.Contains(pong.Why, "seed") || pong.Owners != 0 || pong.Members != 1 {
		t.Errorf("ping says %+v, %v", pong, err)
	}
	eventually(t, "a client hears what its keyed call waited for", func() error {
		_, err := work.Call(t.Context(), c, &job{}, rpc.Key("k"), rpc.Timeout(300*time.Millisecond))
		if strings.Contains(fmt.Sprint(err), "looks for a seed") {
			err = nil
		}
		return err
	})
	waiting := make(chan error, 1)
	go func() {
		_, err := work.Call(t.Context(), b, &job{}, rpc.Key("k"), rpc.Timeout(patience))
		waiting <- err
	}()
	l.edit = func(cfg *Config) { cfg.Bind = nowhere }
	a := l.start("a")
	agree(t, a, b)
	if err := await(t, "the call that waited", waiting); err != nil {
		t.Error(err)
	}
	cancel()
	if err := await(t, "the end of Run", ended); err != nil {
		t.Errorf("Run ended with %v", err)
	}
	agree(t, a)
}

// Start gives up with its context, says why, and leaves nothing open.
func TestStartGivesUp(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	addr, nowhere := fixedAddr(t), fixedAddr(t)
	for _, c := range []struct {
		edit func(*Config)
		why  string // as Ready says it
		want string // in the error
	}{
		{func(cfg *Config) { cfg.Seeds = []string{nowhere} }, "a seed that answers", nowhere},
		{func(cfg *Config) { cfg.Expect = 3 }, "1 of the 3 members", "1 of the 3 members"},
	} {
		cfg := l.config("a")
		cfg.Bind = addr
		c.edit(&cfg)
		n := l.build(cfg)
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() { failed <- n.Start(ctx) }()
		eventually(t, "it says what it waits for", func() error {
			if _, why := n.Ready(); !strings.Contains(why, c.why) {
				return errors.New(why)
			}
			return nil
		})
		if len(cfg.Seeds) > 0 {
			l.log("a").wait(t, "no seed could be joined")
		}
		cancel()
		err := await(t, "the end of Start", failed)
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "node a") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Start gives %v, want it to name %q", err, c.want)
		}
		await(t, "the end", n.Done())
		if err := n.Start(t.Context()); !errors.Is(err, ErrStopped) {
			t.Errorf("a second Start gives %v", err)
		}
	}
	cfg := l.config("a")
	cfg.Bind = addr // free again
	l.launch(cfg)
}

// A node waits for as many members as it expects.
func TestExpect(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.edit = func(cfg *Config) { cfg.Expect = 3 }
	cfg := l.config("a")
	cfg.Bind = fixedAddr(t)
	nodes := []*Node{l.build(cfg)}
	for _, name := range []string{"b", "c"} {
		next := l.config(name)
		next.Seeds = []string{cfg.Bind}
		nodes = append(nodes, l.build(next))
	}
	var started sync.WaitGroup
	for i, n := range nodes {
		if i == 2 {
			eventually(t, "a and b see each other", func() error {
				if _, why := nodes[0].Ready(); !strings.Contains(why, "2 of the 3 members") {
					return errors.New(why)
				}
				return nil
			})
			for _, n := range nodes[:2] {
				if ready, _ := n.Ready(); ready || n.Table().Len() != 0 {
					t.Errorf("%s is ready (%v) before the third came, with %d owners", n.Name(), ready, n.Table().Len())
				}
			}
		}
		started.Go(func() {
			if err := n.Start(t.Context()); err != nil {
				t.Errorf("%s: %v", n.Name(), err)
			}
		})
	}
	started.Wait()
	agree(t, nodes...)
}

func TestPortTaken(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	cfg := l.config("b")
	cfg.Bind = a.Addr().String()
	b := l.build(cfg)
	err := b.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), cfg.Bind) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("Start on a taken port gives %v", err)
	}
	await(t, "the end", b.Done())
	agree(t, a)
}

func TestStartTwice(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	if err := a.Start(t.Context()); !errors.Is(err, ErrStarted) {
		t.Errorf("a second Start gives %v", err)
	}
	if err := a.Run(t.Context()); !errors.Is(err, ErrStarted) {
		t.Errorf("a Run after Start gives %v", err)
	}
	if ready, _ := a.Ready(); !ready {
		t.Error("it is not ready any more")
	}
	if err := a.Register(&rpc.Handler{Spec: work.Spec()}); err == nil || !strings.Contains(err.Error(), work.Name()) {
		t.Errorf("a second handler for one name: %v", err)
	}
}

// A handler may be added to a running node.
func TestRegisterLate(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b")
	late := rpc.NewMethod[job, report]("lab.Late")
	_, err := late.Call(t.Context(), nodes[0], nil, rpc.Peer("b"))
	wantCode(t, err, rpc.Unimplemented)
	late.Handle(nodes[1], func(context.Context, *job) (*report, error) { return nil, nil })
	if _, err := late.Call(t.Context(), nodes[0], nil, rpc.Peer("b")); err != nil {
		t.Error(err)
	}
}

// Each configuration that cannot work is refused, by New or at the latest by
// Start, with the field and the value in the error.
func TestBadConfigs(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		edit func(*Config)
		want []string
		is   error
	}{
		"name with a space":   {func(c *Config) { c.Name = "a b" }, []string{"name"}, ErrConfig},
		"name with a slash":   {func(c *Config) { c.Name = "a/b" }, []string{"name", "a/b"}, ErrConfig},
		"long name":           {func(c *Config) { c.Name = strings.Repeat("x", 129) }, []string{"name", "128"}, ErrConfig},
		"cluster":             {func(c *Config) { c.Cluster = "über" }, []string{"cluster"}, ErrConfig},
		"bind":                {func(c *Config) { c.Bind = "localhost" }, []string{"bind", "localhost", "ip:port"}, nil},
		"bind port":           {func(c *Config) { c.Bind = "127.0.0.1:70000" }, []string{"bind", "70000"}, nil},
		"advertise":           {func(c *Config) { c.Advertise = "host:1" }, []string{"advertise", "host:1"}, ErrConfig},
		"advertise any":       {func(c *Config) { c.Advertise = "0.0.0.0:1" }, []string{"advertise", "0.0.0.0:1"}, ErrConfig},
		"seed":                {func(c *Config) { c.Seeds = []string{"nowhere"} }, []string{"seed", "nowhere"}, membership.ErrSeed},
		"expect":              {func(c *Config) { c.Expect = -1 }, []string{"expect", "-1"}, ErrConfig},
		"zone":                {func(c *Config) { c.Zone = "\n" }, []string{"zone"}, membership.ErrBadMeta},
		"light weight":        {func(c *Config) { c.Weight = 0.01 }, []string{"weight", "0.01", "0.1"}, ErrConfig},
		"heavy weight":        {func(c *Config) { c.Weight = 100.1 }, []string{"weight", "100.1"}, ErrConfig},
		"negative weight":     {func(c *Config) { c.Weight = -1 }, []string{"weight", "-1"}, ErrConfig},
		"no weight":           {func(c *Config) { c.Weight = math.NaN() }, []string{"weight", "NaN"}, ErrConfig},
		"infinite weight":     {func(c *Config) { c.Weight = math.Inf(1) }, []string{"weight", "Inf"}, ErrConfig},
		"profile":             {func(c *Config) { c.Profile = 9 }, []string{"profile", "9"}, membership.ErrConfig},
		"gossip key":          {func(c *Config) { c.GossipKey = []byte("short") }, []string{"key", "5"}, membership.ErrKey},
		"partitions":          {func(c *Config) { c.Table.Partitions = 100 }, []string{"partitions", "100"}, router.ErrPartitions},
		"slack":               {func(c *Config) { c.Table.SlackPermille = -1 }, []string{"slack", "-1"}, router.ErrSlack},
		"small frame":         {func(c *Config) { c.Limits.Transport.MaxBody = 100 }, []string{"MaxBody"}, ErrConfig},
		"negative frame":      {func(c *Config) { c.Limits.Transport.MaxBody = -1 }, []string{"MaxBody"}, ErrConfig},
		"negative call limit": {func(c *Config) { c.Limits.Transport.MaxCalls = -1 }, []string{"MaxCalls"}, ErrConfig},
	}
	l := newLab(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cfg := l.config("a")
			c.edit(&cfg)
			n, err := New(cfg)
			if err == nil {
				if err = n.Start(t.Context()); err == nil {
					n.Close()
					t.Fatal("it starts")
				}
				await(t, "the end", n.Done())
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v is no %v", err, c.is)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error lacks %q: %v", part, err)
				}
			}
			if strings.Contains(err.Error(), "short") {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

// The zero configuration is a node of its own.
func TestZeroConfig(t *testing.T) {
	t.Parallel()
	n, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := Echo.Call(t.Context(), n, &EchoRequest{Data: []byte("x")}, rpc.Key("k"))
	if err != nil || got.Node != n.Name() || string(got.Data) != "x" || n.Name() == "" {
		t.Errorf("%+v, %v", got, err)
	}
	if addr := n.Addr(); !addr.Addr().IsLoopback() || addr.Port() == 0 {
		t.Errorf("it listens on %v", addr)
	}
}

// Advertise tells others another address than the one that is bound.
func TestAdvertise(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.edit = func(cfg *Config) { cfg.Bind = "0.0.0.0:0"; cfg.Advertise = "127.0.0.1:0" }
	a := l.start("a")
	if addr := a.Addr(); addr.Addr().String() != "127.0.0.1" || addr.Port() == 0 {
		t.Errorf("advertised is %v", addr)
	}
	agree(t, a, l.start("b"))
}
