package simnet

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

// programLink is what FuzzProgram runs over.
var programLink = Link{Latency: Uniform(time.Millisecond, 20*time.Millisecond), Loss: 0.05, Bandwidth: 10_000_000}

// FuzzProgram runs a program of operations and faults on three hosts. What is read
// from a stream must be what was written to it, from its beginning; its end comes
// after all of it; a reset has a cause; and a stream that nothing happened to gets
// everything across once the network is whole again.
func FuzzProgram(f *testing.F) {
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		program := make([]byte, 400)
		for i := range program {
			program[i] = byte(rnd.Uint32())
		}
		f.Add(program)
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		inWorld(t, Config{Seed: uint64(len(program)), Link: programLink}, func(w *world) {
			p := &machine{world: w, code: program[:min(len(program), 2000)], cuts: map[[2]int]func(){}, l: make([]net.Listener, 3)}
			p.hosts = []*Stack{w.a, w.b, w.c}
			for i, s := range p.hosts {
				p.l[i] = w.listen(s)
			}
			for len(p.code) > 0 {
				p.step()
			}
			p.end()
		})
	})
}

// machine runs a program.
type machine struct {
	*world
	code  []byte
	hosts []*Stack
	l     []net.Listener
	cuts  map[[2]int]func()
	flows []*flow
}

// flow is one direction of a stream, as the oracle has it.
type flow struct {
	id       byte
	out, in  net.Conn // where it is written, and read
	from, to *Stack
	back     *flow
	sent     int
	read     int
	ended    bool // by its writer
	shut     bool // by its reader
	harmed   bool // something happened that may reset it, or lose what it carries
}

// next gives the program's next number below n.
func (m *machine) next(n int) int {
	if len(m.code) == 0 {
		return 0
	}
	b := m.code[0]
	m.code = m.code[1:]
	return int(b) % n
}

// step runs one instruction.
func (m *machine) step() {
	op, i := m.next(20), m.next(3)
	j := (i + 1 + m.next(2)) % 3
	host := m.hosts[i].host
	switch op {
	case 0:
		m.dial(i, j)
	case 1, 2, 3, 4:
		m.use(m.write)
	case 5, 6, 7, 8:
		m.use(m.read)
	case 9:
		m.use(m.close)
	case 10:
		m.use(m.closeWrite)
	case 11:
		m.toggleCut(i, j)
	case 12:
		m.restart(i, host.Kill)
	case 13:
		m.restart(i, host.PowerOff)
	case 14:
		if host.Paused() {
			host.Resume()
		} else {
			host.Pause()
		}
	case 15:
		host.SetSlow(time.Duration(m.next(3)) * time.Millisecond)
	case 16:
		m.net.HalfOpen(host, m.hosts[j].host)
		m.harm(func(f *flow) bool { return f.between(m.hosts[i], m.hosts[j]) })
	case 17:
		m.net.Reset(host, m.hosts[j].host)
		m.harm(func(f *flow) bool { return f.between(m.hosts[i], m.hosts[j]) })
	default:
		pass(time.Duration(m.next(256)) * time.Duration(m.next(256)) * time.Millisecond / 16)
	}
}

func (f *flow) between(a, b *Stack) bool {
	return f.from == a && f.to == b || f.from == b && f.to == a
}

func (m *machine) harm(which func(*flow) bool) {
	for _, f := range m.flows {
		f.harmed = f.harmed || which(f)
	}
}

// use runs an operation on some flow whose hosts are not frozen.
func (m *machine) use(op func(*flow)) {
	if len(m.flows) == 0 {
		return
	}
	f := m.flows[m.next(len(m.flows))]
	if !f.from.host.Paused() && !f.to.host.Paused() {
		op(f)
	}
}

func (m *machine) dial(i, j int) {
	from, to := m.hosts[i], m.hosts[j]
	if from.host.Paused() || to.host.Paused() || len(m.flows) > 10 {
		return
	}
	ctx, cancel := context.WithTimeout(m.Context(), 5*time.Second)
	defer cancel()
	near, err := from.Dial(ctx, m.l[j].Addr().String())
	if err != nil {
		if !errors.Is(err, context.DeadlineExceeded) {
			m.Fatalf("dial: %v", err)
		}
		return
	}
	far, err := m.l[j].Accept()
	if err != nil {
		m.Fatal(err)
	}
	there := &flow{id: byte(2 * len(m.flows)), out: near, in: far, from: from, to: to}
	there.back = &flow{id: there.id + 1, out: far, in: near, from: to, to: from, back: there}
	m.flows = append(m.flows, there, there.back)
}

func (m *machine) write(f *flow) {
	b := make([]byte, (1+m.next(256))*(1+m.next(256)))
	for i := range b {
		b[i] = f.byteAt(f.sent + i)
	}
	_ = f.out.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	n, err := f.out.Write(b)
	f.sent += n
	m.judge(f, "write", err, f.ended)
	if n < len(b) && err == nil {
		m.Fatalf("a short write without error")
	}
}

// byteAt is what flow has at a place.
func (f *flow) byteAt(at int) byte { return byte(mix(uint64(f.id)<<32 | uint64(at))) }

func (m *machine) read(f *flow) {
	b := make([]byte, (1+m.next(256))*(1+m.next(256)))
	_ = f.in.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	m.take(f, b)
}

// take reads once, and tells whether there may be more.
func (m *machine) take(f *flow, b []byte) bool {
	n, err := f.in.Read(b)
	for i := range n {
		if b[i] != f.byteAt(f.read+i) {
			m.Fatalf("flow %d: byte %d is wrong", f.id, f.read+i)
		}
	}
	f.read += n
	if err == io.EOF {
		if !f.ended || f.read != f.sent {
			m.Fatalf("flow %d ended after %d of %d bytes; closed: %v", f.id, f.read, f.sent, f.ended)
		}
		return false
	}
	m.judge(f, "read", err, f.shut)
	return err == nil
}

// judge checks that an error has its cause.
func (m *machine) judge(f *flow, what string, err error, closed bool) {
	switch {
	case err == nil, isTimeout(err):
	case errors.Is(err, net.ErrClosed) && (closed || f.from.dead || f.to.dead):
	case errors.Is(err, reset) && (f.harmed || f.shut || f.back.shut || f.back.harmed):
	default:
		m.Fatalf("flow %d: %s: %v without a cause", f.id, what, err)
	}
}

func (m *machine) close(f *flow) {
	_ = f.out.Close()
	f.ended, f.back.shut = true, true
}

func (m *machine) closeWrite(f *flow) {
	_ = f.out.(*conn).CloseWrite()
	f.ended = true
}

func (m *machine) toggleCut(i, j int) {
	key := [2]int{i, j}
	if heal := m.cuts[key]; heal != nil {
		heal()
		delete(m.cuts, key)
		return
	}
	m.cuts[key] = m.cut(m.hosts[i], m.hosts[j])
}

// restart ends a process and starts the next one.
func (m *machine) restart(i int, end func()) {
	old := m.hosts[i]
	m.harm(func(f *flow) bool { return f.from == old || f.to == old })
	end()
	m.hosts[i] = old.host.Boot()
	m.l[i] = m.listen(m.hosts[i])
}

// end makes the network whole, reads everything, and closes.
func (m *machine) end() {
	for _, heal := range m.cuts {
		heal()
	}
	for _, s := range m.hosts {
		s.host.Resume()
		s.host.SetSlow(0)
	}
	b := make([]byte, 64<<10)
	for _, f := range m.flows {
		_ = f.in.SetReadDeadline(time.Now().Add(10 * time.Minute))
		for m.take(f, b) {
		}
		if whole := !f.harmed && !f.shut && !f.back.shut; whole && f.read != f.sent {
			m.Fatalf("flow %d: %d of %d bytes arrived", f.id, f.read, f.sent)
		}
	}
	var ends []net.Conn
	for _, f := range m.flows {
		_ = f.in.Close()
		ends = append(ends, f.in)
	}
	pass(10 * time.Minute)
	m.idle(ends...)
}
