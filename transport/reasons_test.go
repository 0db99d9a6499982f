package transport

import (
	"errors"
	"strings"
	"testing"

	"github.com/meshnode/meshnode/internal/wire"
)

// bothSay returns what the two sides of a handshake say of it: the one who was dialled,
// and the dialler.
func bothSay(t *testing.T, server, client Config, want string) (dialled, dialler string) {
	t.Helper()
	network := newMemNet(1000)
	a, _ := network.bindLocked("127.0.0.1:0")
	near, far := newMemPair(1000, a, a)
	served := make(chan error, 1)
	go func() {
		_, err := newEndpoint(t, server).receive(far)
		served <- err
	}()
	_, err := newEndpoint(t, client).greet(near, want)
	_ = near.Close()
	back := receive(t, "end of the handshake", served)
	if err == nil || back == nil {
		t.Fatalf("not refused: %v, %v", back, err)
	}
	return back.Error(), err.Error()
}

// The reason of a refusal is true on both sides of it, whoever found it, and the one
// who is told says by whom.
func TestRefusalsReadRightOnBothSides(t *testing.T) {
	for name, c := range map[string]struct {
		server, client Config
		says           string
	}{
		"no key at the dialler":   {Config{Name: "b", KeyID: 7}, Config{Name: "a"}, `gossip key mismatch: "b" has one, "a" has none`},
		"no key at the dialled":   {Config{Name: "b"}, Config{Name: "a", KeyID: 8}, `gossip key mismatch: "a" has one, "b" has none`},
		"other keys":              {Config{Name: "b", KeyID: 7}, Config{Name: "a", KeyID: 8}, `gossip key mismatch: "a" and "b" have different ones`},
		"other clusters":          {Config{Name: "b", Cluster: "x"}, Config{Name: "a", Cluster: "y"}, `cluster name mismatch: "a" is in "y", "b" in "x"`},
		"a client of another one": {Config{Name: "b", Cluster: "x"}, Config{Cluster: "y"}, `cluster name mismatch: the client is in "y", "b" in "x"`},
		"another name":            {Config{Name: "c"}, Config{Name: "a"}, `another node answers at this address: it is "c", not "b"`},
	} {
		t.Run(name, func(t *testing.T) {
			dialled, dialler := bothSay(t, c.server, c.client, "b")
			same(t, "the one who was dialled says", dialled, "transport: "+c.says)
			same(t, "the dialler says", dialler, "transport: "+c.says+` (said by "b")`)
		})
	}
}

// What goes over the wire says neither "the peer" nor "this node".
func TestReasonsAreNeutral(t *testing.T) {
	texts := []string{ErrTooManyCalls.Error(), ErrTooManyServed.Error(), ErrTooManyBytes.Error(), ReplyTooLong(2, 1)}
	for _, err := range reasons {
		texts = append(texts, err.Error())
	}
	b := newEndpoint(t, Config{Name: "b", Cluster: "x", KeyID: 7})
	for _, h := range []wire.Hello{
		{Version: 9, Name: "a"},
		{Version: wire.Version, Name: "a", Cluster: "y"},
		{Version: wire.Version, Name: "a"},
		{Version: wire.Version, Name: "a", KeyID: 3},
		{Version: wire.Version, Name: "a", KeyID: 7, Window: 1},
	} {
		err := b.check(&h, "")
		if err == nil {
			t.Fatalf("%+v is taken", h)
		}
		texts = append(texts, err.Error())
	}
	for _, text := range texts {
		for _, side := range []string{"peer", "this node", "this side", "ours", "my "} {
			if strings.Contains(text, side) {
				t.Errorf("%q is told from one side", text)
			}
		}
	}
}

// A peer that ends a connection is named by those whose calls it drops.
func TestPartingNamesThePeer(t *testing.T) {
	l := &lab{t, newMemNet(1000)}
	c, h := l.pair(echo{})
	call(t, c, "echo", nil)
	go h.Drain(t.Context())
	receive(t, "end", c.Closed())
	var said *RefusedError
	if !errors.As(c.Err(), &said) || said.By != "b" || c.Err().Error() != `transport: shutting down (said by "b")` {
		t.Errorf("the connection ended with %v", c.Err())
	}
}
