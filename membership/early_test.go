package membership

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/transport"
	"github.com/rs/zerolog"
	"github.com/vmihailenco/msgpack/v5"
)

// What the others still say of a former life of the node may lie in the socket
// before the node has begun. It must not be taken for the node's own state,
// which would be refuted and never set right.
func TestPacketsBeforeTheStart(t *testing.T) {
	l := newLab(t)
	for range 20 {
		cfg := l.config("a")
		former, err := Meta{Boot: cfg.Meta.Boot - 1, Weight: 1, Protocol: 1, Params: cfg.Meta.Params}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		listener, packets := listen(t, netip.AddrPort{})
		addr := listener.Addr().(*net.TCPAddr).AddrPort()
		alive, err := msgpack.Marshal(map[string]any{
			"Incarnation": 1000, "Node": "a", "Addr": addr.Addr().AsSlice(), "Port": addr.Port(),
			"Meta": former, "Vsn": []byte{1, 5, 2, 1, 1, 1},
		})
		if err != nil {
			t.Fatal(err)
		}
		const aliveMsg = 4
		packet := append([]byte{244, byte(len(cfg.Cluster))}, cfg.Cluster...)
		packet = append(append(packet, aliveMsg), alive...)
		if _, err := packets.WriteTo(packet, net.UDPAddrFromAddrPort(addr)); err != nil {
			t.Fatal(err)
		}
		cfg.Network, cfg.Packets, cfg.Advertise = transport.System(), packets, addr
		cfg.Identify = (&labNode{lab: l}).identify
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		self, ok := c.roster.get("a")
		states, err := c.localStates(t.Context())
		if err != nil || !ok || self.Boot != cfg.Meta.Boot || len(states) != 1 || !states[0].live() {
			t.Errorf("the node is %+v, listed as %+v, %v", self, states, err)
		}
		c.Stop()
		_ = listener.Close()
		_ = packets.Close()
	}
}

// A founder says once that it founds the cluster, however long it is alone then or later.
func TestFounderSaysSoOnce(t *testing.T) {
	virtual(t, func(t *testing.T, l *lab) {
		at := netip.MustParseAddrPort("10.9.9.9:7101")
		n := l.open(l.config("a", at.String()), at)
		n.mustJoin()
		said := func() int { return strings.Count(n.logs.String(), "it founds the cluster") }
		l.pass(time.Minute)
		if said() != 1 {
			t.Errorf("after a minute it has said so %d times; want once:\n%s", said(), n.logs)
		}
		b := l.start("b", at.String())
		agree(t, time.Minute, []*labNode{n, b}, "a", "b")
		b.crash()
		agree(t, time.Minute, []*labNode{n}, "a")
		l.pass(time.Minute)
		if said() != 1 {
			t.Errorf("alone again it has said so %d times; want once", said())
		}
	})
}

// What memberlist says of every restart is no warning. That this node was suspected is one.
func TestRoutineLines(t *testing.T) {
	for line, want := range map[string]string{
		"[WARN] memberlist: Refuting a dead message (from: b)":                                             "debug",
		"[WARN] memberlist: Refuting an alive message for 'a' (10.0.0.1:7101) meta:(x VS y), vsn:(1 VS 2)": "debug",
		"[WARN] memberlist: Refuting a suspect message (from: b)":                                          "warn",
		"[ERR] memberlist: Failed to send gossip":                                                          "warn",
		"[INFO] memberlist: Suspect b has failed, no acks received":                                        "info",
	} {
		var out syncBuffer
		if _, err := newLogWriter(zerolog.New(&out)).Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), `"level":"`+want+`"`) {
			t.Errorf("%s is logged as %swant %s", line, out.String(), want)
		}
	}
}
