package membership

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// joinError tries to join for a while and gives the error, which must come.
func (n *labNode) joinError(timeout time.Duration) error {
	n.lab.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	err := n.Join(ctx)
	if err == nil {
		n.lab.t.Fatalf("%s could join", n.cfg.Name)
	}
	return err
}

func TestSecondNodeOfANameIsRefused(t *testing.T) {
	l := newLab(t)
	a := l.start("a")
	b := l.start("b", a.seed())
	agree(t, 3*time.Second, []*labNode{a, b}, "a", "b")
	before, _ := a.Snapshot().Find("b")

	for _, seed := range []*labNode{a, b} { // by another member, and by the very one
		second := l.open(l.config("b", seed.seed()), netip.AddrPort{})
		err := second.joinError(5 * time.Second)
		var taken *NameTakenError
		if !errors.As(err, &taken) || !errors.Is(err, ErrNameTaken) {
			t.Fatalf("got %v", err)
		}
		if taken.Name != "b" || taken.Addr != b.addr || taken.Boot != b.cfg.Meta.Boot {
			t.Errorf("got %+v", taken)
		}
		if text := err.Error(); !strings.Contains(text, `"b" is a live node at `+b.seed()) {
			t.Errorf("unclear: %s", text)
		}
		second.crash()
	}
	after, _ := a.Snapshot().Find("b")
	if after != before {
		t.Errorf("the first b was disturbed: %+v, before %+v", after, before)
	}
	if m, _ := a.health("b"); m.Health != HealthAlive || m.Addr != b.addr {
		t.Errorf("a sees b as %+v", m)
	}
	select {
	case err := <-b.Failed():
		t.Errorf("the first b failed: %v", err)
	default:
	}
}

func TestOlderOfTwoWhoBothJoinWaits(t *testing.T) {
	l := newLab(t)
	older, younger := l.config("x"), l.config("x")
	older.Meta.State, younger.Meta.State = StateJoining, StateJoining
	y := l.open(younger, netip.AddrPort{})
	older.Seeds = []string{y.seed()}
	o := l.open(older, netip.AddrPort{})
	if err := o.joinError(300 * time.Millisecond); !errors.Is(err, ErrNameListed) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the older one got %v", err)
	}
	younger.Seeds = []string{o.seed()}
	third := l.open(younger, netip.AddrPort{})
	if err := third.joinError(5 * time.Second); !errors.Is(err, ErrNameTaken) {
		t.Errorf("the younger one got %v", err)
	}
}

func TestPermanentRefusals(t *testing.T) {
	key := make([]byte, 32)
	for _, tt := range []struct {
		name string
		edit func(*Config)
		want error
		text string // of the error
	}{
		{"cluster", func(c *Config) { c.Cluster = "other" }, ErrClusterMismatch, ""},
		{"key", func(c *Config) { c.GossipKey = key }, ErrGossipKeyMismatch, ""},
		{"params", func(c *Config) { c.Meta.Params.Partitions = 64 }, ErrParamsMismatch, "16384 partitions, this node 64"},
		{"slack", func(c *Config) { c.Meta.Params.SlackPermille = 7 }, ErrParamsMismatch, "a slack of 50‰, this node 7‰"},
		{"protocol", func(c *Config) { c.Meta.Protocol = 9 }, ErrProtocolMismatch, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			a := l.start("a")
			b := l.start("b", a.seed())
			agree(t, 3*time.Second, []*labNode{a, b}, "a", "b")
			cfg := l.config("c", a.seed(), b.seed())
			tt.edit(&cfg)
			c := l.open(cfg, netip.AddrPort{})
			err := c.joinError(10 * time.Second)
			if !errors.Is(err, tt.want) || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("got %v, want %v early", err, tt.want)
			}
			var seeds SeedErrors
			if !errors.As(err, &seeds) || len(seeds) != 2 {
				t.Errorf("want a reason for each seed, got %v", err)
			}
			if n := strings.Count(c.logs.String(), `"level":"error"`); n != 2 {
				t.Errorf("want one error line per seed, got %d:\n%s", n, c.logs)
			}
			if names := a.Snapshot().Names(); !slices.Equal(names, []string{"a", "b"}) {
				t.Errorf("a sees %v", names)
			}
			if c.Joined() {
				t.Error("it says that it has joined")
			}
		})
	}
}

// What the mesh protocol's greeting does not tell, the exchange itself does.
func TestGossipKeyMismatchOnTheStream(t *testing.T) {
	keys := map[string][]byte{"none": nil, "one": []byte("0123456789abcdef"), "two": []byte("fedcba9876543210")}
	l := newLab(t)
	for mine, key := range keys {
		cfg := l.config("a-" + mine)
		cfg.GossipKey = key
		n := l.startConfig(cfg)
		for theirs, other := range keys {
			cfg := l.config("b-" + theirs)
			cfg.GossipKey = other
			m := l.startConfig(cfg)
			_, err := m.remoteStates(t.Context(), n.addr)
			if same := mine == theirs; same != (err == nil) || !same && !errors.Is(err, ErrGossipKeyMismatch) {
				t.Errorf("key %q asked by key %q: %v", mine, theirs, err)
			}
		}
	}
}

func TestOneGoodSeedIsEnough(t *testing.T) {
	l := newLab(t)
	a := l.start("a")
	cfg := l.config("other")
	cfg.Cluster = "other"
	foreign := l.startConfig(cfg)
	b := l.start("b", foreign.seed(), "127.0.0.1:1", "nowhere.example:7101", a.seed())
	agree(t, 3*time.Second, []*labNode{a, b}, "a", "b")
}

func TestJoinWaitsForItsSeed(t *testing.T) {
	l := newLab(t)
	gone := l.open(l.config("a"), netip.AddrPort{})
	gone.crash()
	b := l.open(l.config("b", gone.seed()), netip.AddrPort{})
	err := b.joinError(200 * time.Millisecond)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %q", err)
	}
	if b.Joined() {
		t.Error("b says that it has joined")
	}
	// It goes on by itself after the end of the context.
	a := l.open(l.config("a"), gone.addr)
	a.mustJoin()
	eventually(t, 5*time.Second, "b has joined", b.Joined)
	agree(t, 3*time.Second, []*labNode{a, b}, "a", "b")
	if n := strings.Count(b.logs.String(), "no seed could be joined"); n != 1 {
		t.Errorf("failed rounds fill the log with %d lines", n)
	}
	b.mustJoin() // at once
}

func TestOwnSeedFoundsTheCluster(t *testing.T) {
	l := newLab(t)
	probe := l.open(l.config("a"), netip.AddrPort{})
	probe.crash()
	l.setHost("mesh.internal", probe.addr.Addr())
	l.setHost("localhost", netip.MustParseAddr("::1"), probe.addr.Addr()) // nobody listens on ::1
	cfg := l.config("a", probe.seed(), "dns+mesh.internal:"+portOf(probe), "localhost:"+portOf(probe))
	a := l.open(cfg, probe.addr)
	a.mustJoin()
	b := l.start("b", cfg.Seeds...)
	agree(t, 3*time.Second, []*labNode{a, b}, "a", "b")
}

func portOf(n *labNode) string {
	_, port, _ := strings.Cut(n.seed(), ":")
	return port
}

func TestSeedsAreResolvedOnEachTry(t *testing.T) {
	l := newLab(t)
	b := l.open(l.config("b", "dns+mesh.internal:7"), netip.AddrPort{})
	if err := b.joinError(150 * time.Millisecond); !strings.Contains(err.Error(), "no such host") {
		t.Errorf("got %v", err)
	}
	b.crash()

	// All addresses of a dns+ seed are tried, and a plain name's until one works.
	a := l.start("a")
	for i, prefix := range []string{"dns+", ""} {
		c := l.open(l.config("c"+prefix, prefix+"mesh.internal:"+portOf(a)), netip.AddrPort{})
		l.setHost("mesh.internal", netip.MustParseAddr("127.0.0.9"))
		if err := c.joinError(200 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		l.setHost("mesh.internal", netip.MustParseAddr("127.0.0.9"), netip.MustParseAddr("::ffff:127.0.0.1"))
		c.mustJoin()
		if got := c.Snapshot().Names(); len(got) != i+2 {
			t.Errorf("%v", got)
		}
	}
}

func TestNewChecksItsConfig(t *testing.T) {
	l := newLab(t)
	listener, packets := listen(t, netip.AddrPort{})
	defer listener.Close()
	defer packets.Close()
	good := l.config("a")
	good.Network, good.Packets, good.Advertise = labNetwork{}, packets, netip.MustParseAddrPort("127.0.0.1:7101")
	good.Identify = (&labNode{}).identify
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		edit func(*Config)
		want error
		text string
	}{
		{"no name", func(c *Config) { c.Name = "" }, ErrConfig, "node name"},
		{"long name", func(c *Config) { c.Name = strings.Repeat("n", 129) }, ErrConfig, "128 bytes"},
		{"slash", func(c *Config) { c.Name = "a/b" }, ErrConfig, "slashes"},
		{"space", func(c *Config) { c.Name = "a b" }, ErrConfig, "spaces"},
		{"no cluster", func(c *Config) { c.Cluster = "" }, ErrConfig, "cluster name"},
		{"no network", func(c *Config) { c.Network = nil }, ErrConfig, "Network"},
		{"no packets", func(c *Config) { c.Packets = nil }, ErrConfig, "Packets"},
		{"no identify", func(c *Config) { c.Identify = nil }, ErrConfig, "Identify"},
		{"no address", func(c *Config) { c.Advertise = netip.AddrPort{} }, ErrConfig, "advertised"},
		{"any address", func(c *Config) { c.Advertise = netip.MustParseAddrPort("0.0.0.0:7101") }, ErrConfig, "advertised"},
		{"no boot", func(c *Config) { c.Meta.Boot = 0 }, ErrConfig, "boot"},
		{"profile", func(c *Config) { c.Profile = 9 }, ErrConfig, "profile"},
		{"key", func(c *Config) { c.GossipKey = []byte("short") }, ErrKey, "5 bytes, want 16, 24 or 32"},
		{"seed", func(c *Config) { c.Seeds = []string{"a:1", "b"} }, ErrSeed, `"b": missing port, want host:port`},
		{"protocol", func(c *Config) { c.Protocols = ProtocolRange{2, 3} }, ErrConfig, "own protocol 1 is outside 2 to 3"},
		{"weight", func(c *Config) { c.Meta.Weight = 1e9 }, ErrBadMeta, "weight"},
		{"zone", func(c *Config) { c.Meta.Zone = "a\nb" }, ErrBadMeta, "zone"},
		{"large", func(c *Config) { c.Meta.Zone = strings.Repeat("z", 500) }, ErrMetaTooLarge, "the zone is 500 and the services that are down are 0; the limit is 512"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := good
			tt.edit(&cfg)
			_, err := New(cfg)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v", err)
			}
		})
	}
}
