package membership

import (
	"net"
	"net/netip"
	"testing"

	"github.com/meshnode/meshnode/transport"
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
