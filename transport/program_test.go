package transport

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/meshnode/meshnode/internal/wire"
)

// A program is a string of bytes that says what a hostile peer does on one
// connection: an operation, its operands, the next operation. One runner serves
// the random test and the fuzz target.
type program struct {
	*raw
	left []byte
	id   uint64 // the last call's
	size int    // bytes written so far
}

const (
	programLimit = 32 << 10 // body limit of the host
	programSize  = 1 << 20  // a program writes no more
)

// programLimits are the host's: small, so that programs reach them.
var programLimits = Limits{
	MaxBody: programLimit, MaxCalls: 8, MaxServed: 100, MaxIncomplete: 3 * programLimit,
	Window: 4096, ConnWindow: 16 << 10, MaxUnread: 10 << 10, MaxQueued: 256 << 10,
}

// streamEcho sends back each message of a stream.
func streamEcho(in *Incoming) {
	s := in.Stream()
	if s == nil {
		_ = in.Reply(3, message("no stream"), nil)
		return
	}
	s.Accept()
	for {
		msg, err := s.Recv()
		if err == nil {
			err = s.Send(msg)
		}
		if err == io.EOF {
			_ = in.Reply(CodeOK, nil, nil)
			return
		}
		if err != nil {
			_ = in.Reply(CodeCanceled, nil, nil)
			return
		}
	}
}

// programHost gives a host whose handlers do all that handlers may do.
func (l *lab) programHost() *host {
	return l.host(Config{Name: "b", Limits: programLimits, Handler: methods{
		"r": streamEcho, "q": func(in *Incoming) {
			if s := in.Stream(); s != nil {
				s.Accept()
				_, _ = s.Recv()
			}
			_ = in.Reply(CodeOK, nil, nil)
		},
		"e": echo{}.ServeCall,
		"w": func(in *Incoming) { <-in.Context().Done() },
		"s": func(*Incoming) {},
		"t": func(in *Incoming) { _ = in.Reply(3, message("no"), nil); _ = in.Reply(4, in.Meta, in.Body) },
		"b": func(in *Incoming) { _ = in.Reply(CodeOK, nil, make([]byte, 2*programLimit)) },
	}})
}

// next takes an operand; a program that has ended gives zeros.
func (p *program) next() uint64 {
	if len(p.left) == 0 {
		return 0
	}
	b := p.left[0]
	p.left = p.left[1:]
	return uint64(b)
}

// text takes up to n bytes as they are.
func (p *program) text(n uint64) []byte {
	b := p.left[:min(n, uint64(len(p.left)))]
	p.left = p.left[len(b):]
	return b
}

func (p *program) method() string { return string("ewstbrq?"[p.next()%8]) }

// anID is one of the ids around the last.
func (p *program) anID() uint64 { return p.id + 2*(p.next()%8) - 8 }

func (p *program) meta() *Meta {
	bits := p.next()
	m := &Meta{Partition: int64(bits%3) - 1, Hops: uint8(bits)}
	if bits&16 != 0 {
		m.Timeout = 1 << (bits % 40)
	}
	if bits&32 != 0 {
		m.User = make([]Pair, bits*4)
	}
	return m
}

// frame builds the frame that the operation stands for.
func (p *program) frame(op uint64) []byte {
	return frame(func(b []byte) []byte {
		switch op % 32 {
		case 16, 17, 18:
			p.id += 2
			return append(wire.AppendOpen(b, p.id, p.method(), p.meta()), p.text(p.next())...)
		case 19, 20, 21, 22, 23:
			return append(wire.AppendData(b, p.anID(), op&0x80 != 0), make([]byte, p.next()*(p.next()&15))...)
		case 24:
			return wire.AppendHalfClose(b, p.anID())
		case 25:
			return wire.AppendWindow(b, p.anID(), p.next()<<(p.next()&63))
		case 26:
			return wire.AppendWindow(b, 0, p.next()<<(p.next()&63))
		case 27, 28: // a body in parts
			p.id += 2
			m := p.meta()
			m.Length = p.next() << (p.next() & 31)
			return wire.AppendCall(b, p.id, p.method(), m)
		case 29, 30:
			return append(wire.AppendData(b, p.id, false), make([]byte, p.next()*16)...)
		case 0, 1, 2, 3:
			p.id += 2
			return append(wire.AppendCall(b, p.id, p.method(), p.meta()), p.text(p.next())...)
		case 4:
			return wire.AppendCall(b, p.anID(), p.method(), nil)
		case 5:
			return append(wire.AppendNotify(b, p.method(), p.meta()), p.text(p.next())...)
		case 6, 7:
			return wire.AppendCancel(b, p.anID(), p.next())
		case 8:
			return wire.AppendPing(b, p.next())
		case 9:
			return wire.AppendPong(b, p.next())
		case 10, 11:
			return append(wire.AppendReply(b, p.next()%6, p.next(), p.meta()), p.text(p.next())...)
		case 12:
			return append(wire.AppendGoAway(b, p.anID(), p.next()), p.text(p.next())...)
		case 13:
			return wire.AppendHello(b, &wire.Hello{Version: p.next()})
		case 14:
			return append(b, make([]byte, 300*p.next())...) // near and over the limit
		}
		return append(b, p.text(p.next())...)
	})
}

// run writes what the program says, damaged where it says so.
func (p *program) run() {
	for len(p.left) > 0 && p.size < programSize {
		op := p.next()
		b := p.frame(op)
		if op&0x80 != 0 {
			b[int(p.next())%len(b)] ^= byte(1 << (p.next() % 8))
		}
		if op&0x40 != 0 {
			b = b[:int(p.next())%len(b)]
		}
		p.size += len(b)
		if _, err := p.nc.Write(b); err != nil {
			return // the connection was ended, as it may be
		}
	}
}

// listen reads what the other side says until the stream ends. All of it must
// be well-formed, and no call may be answered twice.
func (p *program) listen() error {
	answered := map[uint64]bool{}
	for {
		b, err := p.frames.next()
		if err != nil {
			return nil // however the stream ends
		}
		var h wire.Header
		if _, err := wire.Parse(b, &h); err != nil {
			return fmt.Errorf("the host wrote % x: %w", b, err)
		}
		switch h.Kind {
		case wire.KindReply:
			if answered[h.ID] {
				return fmt.Errorf("call %d was answered twice", h.ID)
			}
			answered[h.ID] = true
		case wire.KindData:
			if answered[h.ID] {
				return fmt.Errorf("data of call %d came behind its reply", h.ID)
			}
		case wire.KindPong, wire.KindGoAway, wire.KindCancel, wire.KindCall, wire.KindWindow:
		default:
			return fmt.Errorf("the host wrote a %v", h.Kind)
		}
	}
}

// runProgram plays a program to a host, which must neither hang nor stumble:
// its own calls on that connection end, the connection ends, and fresh ones work.
func runProgram(l *lab, h *host, steps []byte) {
	p := &program{raw: l.greeted(h), left: steps, id: 1}
	far := h.far(l)
	var calls [4]<-chan answer
	for i := range calls {
		calls[i] = goCall(context.Background(), far, &Request{Method: "m"})
	}
	heard := make(chan error, 1)
	go func() { heard <- p.listen() }()
	p.run()
	_ = p.nc.Close()
	if err := receive(l, "end of listening", heard); err != nil {
		l.Error(err)
	}
	receive(l, "end of the connection", far.Closed())
	for _, ch := range calls {
		receive(l, "end of the host's own call", ch)
	}
	eventually(l, "end of all handlers", func() bool { return far.serving.empty() && h.Conns() == 0 })
	fresh := l.greeted(h)
	fresh.sendCall(1, "e")
	if _, head, _ := fresh.next(); head.Kind != wire.KindReply || head.Code != CodeOK {
		l.Errorf("a fresh connection got a %v with code %d", head.Kind, head.Code)
	}
	_ = fresh.nc.Close()
	eventually(l, "end of the fresh connection", func() bool { return h.Conns() == 0 })
}

// randomProgram is mostly valid, so that it gets somewhere.
func randomProgram(r *rand.Rand) []byte {
	steps := make([]byte, 0, 1000)
	for range 1 + r.IntN(60) {
		op := byte(r.IntN(32))
		if r.IntN(4) == 0 {
			op %= 4
		}
		if r.IntN(12) == 0 {
			op |= byte(0x40 << r.IntN(2))
		}
		steps = append(steps, op)
		steps = binary.BigEndian.AppendUint32(steps, r.Uint32()&0x3f1f3f1f)
	}
	return steps
}

func TestRandomPrograms(t *testing.T) {
	r := seeded(t)
	for _, buffer := range []int{13, 4096} {
		l := &lab{t, newMemNet(buffer)}
		h := l.programHost()
		for range 150 {
			steps := randomProgram(r)
			if runProgram(l, h, steps); t.Failed() {
				t.Fatalf("program: %x", steps)
			}
		}
	}
}

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
