package transport

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// A program is a string of bytes that says what a hostile peer does on one
// connection: an operation, its operands, the next operation. One runner serves
// the random test and the fuzz target.
type program struct {
	*raw
	far     *Conn // the host's
	left    []byte
	id      uint64   // the last call's
	size    int      // bytes written so far
	streams []uint64 // opened
	body    uint64   // the call whose body is being sent, and what is left of it
	rest    uint64
	replies map[uint64]uint64 // bytes of bodies sent for the host's own calls
	damaged bool              // a frame was
	ponged  chan struct{}     // closed at the pong to the last ping
}

const (
	programLimit = 160 << 10 // body limit of the host
	programSize  = 1 << 20   // a program writes no more
)

// programLimits are the host's: small, so that programs reach them.
var programLimits = Limits{
	MaxBody: programLimit, MaxCalls: 8, MaxServed: 100, MaxIncomplete: 3 * programLimit,
	Window: 2 << 10, ConnWindow: 5 << 10, MaxUnread: 3 << 10, MaxQueued: 256 << 10,
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
	return l.host(Config{Name: "b", Limits: programLimits, Handler: programHandler{methods{
		"r": streamEcho, "q": func(in *Incoming) {
			if s := in.Stream(); s != nil {
				s.Accept()
				_, _ = s.Recv()
				_ = s.Send(make([]byte, 5000))
			}
			_ = in.Reply(CodeOK, nil, nil)
		},
		"e": echo{}.ServeCall,
		"i": func(in *Incoming) { _ = in.Reply(CodeOK, nil, make([]byte, len(in.Body)*len(in.Body))) },
		"w": func(in *Incoming) { <-in.Context().Done() },
		"s": func(*Incoming) {},
		"t": func(in *Incoming) { _ = in.Reply(3, message("no"), nil); _ = in.Reply(4, in.Meta, in.Body) },
		"b": func(in *Incoming) { _ = in.Reply(CodeOK, nil, make([]byte, 2*programLimit)) },
		"l": func(in *Incoming) { _ = in.Reply(CodeOK, nil, make([]byte, programLimit)) },
	}}})
}

// programHandler serves "i" inline.
type programHandler struct{ methods }

func (programHandler) Inline(in *Incoming) bool { return string(in.Method) == "i" }

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
		p.damaged = p.damaged || op&0xc0 != 0
		p.size += len(b)
		if _, err := p.nc.Write(b); err != nil {
			return // the connection was ended, as it may be
		}
	}
}

// lastPing is a number that no other ping of a program has.
const lastPing = 1 << 40

// finish ends the stream, so that the host may read it to the end. A program
// without damage first waits until the host has come so far.
func (p *program) finish() {
	if !p.damaged {
		_, _ = p.nc.Write(frame(func(b []byte) []byte { return wire.AppendPing(b, lastPing) }))
		select {
		case <-p.ponged:
		case <-p.far.Closed():
		case <-time.After(patience):
			p.Error("the host does not answer a ping")
		}
	}
	closeWrite(p.nc)
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
		case wire.KindPong:
			if h.Code == lastPing {
				close(p.ponged)
			}
		case wire.KindReply:
			if answered[h.ID] {
				return fmt.Errorf("call %d was answered twice", h.ID)
			}
			answered[h.ID] = true
		case wire.KindData:
			if answered[h.ID] {
				return fmt.Errorf("data of call %d came behind its reply", h.ID)
			}
		case wire.KindGoAway, wire.KindCancel, wire.KindCall, wire.KindWindow, wire.KindOpen, wire.KindHalfClose:
		default:
			return fmt.Errorf("the host wrote a %v", h.Kind)
		}
	}
}

// hostCalls is how many calls the host makes to the program.
const hostCalls = 4

// callAll makes calls of every kind to the program, and gives when all have
// ended.
func callAll(far *Conn) (ended <-chan struct{}) {
	all := make(chan struct{})
	var wg sync.WaitGroup
	for _, size := range []int{10, programLimit} {
		wg.Go(func() {
			if r, err := far.Call(context.Background(), &Request{Method: "m", Body: make([]byte, size)}); err == nil {
				r.Release()
			}
		})
	}
	for range hostCalls - 2 {
		wg.Go(func() {
			s, _, err := far.Open(context.Background(), &Request{Method: "m"})
			if err != nil || s == nil {
				return
			}
			for err == nil {
				if err = s.Send(make([]byte, 100)); err == nil {
					_, err = s.Recv()
				}
			}
			if err == io.EOF {
				_, _ = s.Status()
			}
			_ = s.CloseSend()
			s.Close()
		})
	}
	go func() { wg.Wait(); close(all) }()
	return all
}

// runProgram plays a program to a host, which must neither hang nor stumble:
// its own calls on that connection end, the connection ends, and fresh ones work.
func runProgram(l *lab, h *host, steps []byte) {
	p := &program{left: steps, id: 1, replies: make(map[uint64]uint64), ponged: make(chan struct{})}
	hello := wire.Hello{Version: wire.Version, Window: minWindow << (p.next() % 10), ConnWindow: minWindow << (p.next() % 10)}
	p.raw = l.greetedWith(h, &hello)
	far := h.far(l)
	p.far = far
	calls := callAll(far)
	eventually(l, "calls", func() bool { return far.pend.issued() == hostCalls })
	heard := make(chan error, 1)
	go func() { heard <- p.listen() }()
	p.run()
	p.finish()
	if err := receive(l, "end of listening", heard); err != nil {
		l.Error(err)
	}
	_ = p.nc.Close()
	receive(l, "end of the connection", far.Closed())
	receive(l, "end of the host's own calls", calls)
	eventually(l, "end of all handlers", func() bool { return far.serving.count() == 0 && h.Conns() == 0 && h.served.Load() == 0 })
	eventually(l, "no bodies under way", func() bool { return h.incomplete.Load() == 0 })
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
	for range 1 + r.IntN(100) {
		op := byte(r.IntN(32))
		if r.IntN(30) == 0 {
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
