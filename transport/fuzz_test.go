package transport

import (
	"math/rand/v2"
	"testing"

	"github.com/meshnode/meshnode/internal/wire"
)

// FuzzConnFrames plays any program to a host.
func FuzzConnFrames(f *testing.F) {
	l := &lab{f, newMemNet(4096)}
	h := l.programHost()
	f.Add([]byte{})
	for n := range uint64(20) {
		f.Add(randomProgram(rand.New(rand.NewPCG(n, 1))))
	}
	f.Fuzz(func(t *testing.T, steps []byte) {
		runProgram(&lab{t, l.net}, h, steps[:min(len(steps), 4096)])
	})
}

// FuzzGreeting sends any bytes as a greeting: the host comes to an end with
// them, and greets only who said a valid hello.
func FuzzGreeting(f *testing.F) {
	f.Add(helloFrame([]byte(wire.Preface), &wire.Hello{Version: 1, Cluster: "lab", Name: "a", To: "b"}))
	f.Add(helloFrame([]byte(wire.Preface), &wire.Hello{Version: 2}))
	f.Add([]byte(wire.Preface + "\xff\xff\xff\xff"))
	f.Add([]byte("messy"))
	ep, err := NewEndpoint(Config{Name: "b", Cluster: "lab", Network: newMemNet(100)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(ep.Close)
	f.Fuzz(func(t *testing.T, data []byte) {
		a, _ := newMemNet(0).bindLocked("127.0.0.1:1")
		near, far := newMemPair(len(data)+maxHello, a, a)
		_, _ = near.Write(data)
		_ = near.CloseWrite()
		c, err := ep.receive(far)
		if err == nil {
			h, invalid := wire.ParseHello(data[len(wire.Preface)+wire.Prefix:])
			if invalid != nil || h.Version != wire.Version || c.peer.Name != h.Name {
				t.Errorf("% x was greeted as %+v", data, c.peer)
			}
		}
		_ = far.Close()
		_ = near.Close()
		if n := ep.greetings(); n != 0 {
			t.Errorf("%d greetings are left", n)
		}
	})
}
