package transport

import "github.com/meshnode/meshnode/internal/wire"

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

func (p *program) method() string { return string("ewstbrqil?"[p.next()%10]) }

// anID is one of the ids around the last.
func (p *program) anID() uint64 { return p.id + 2*(p.next()%8) - 8 }

func (p *program) meta() *Meta {
	bits := p.next()
	m := &Meta{Partition: int64(bits%3) - 1, Hops: uint8(bits)}
	if bits&16 != 0 {
		m.Timeout = 1 << (bits % 40)
	}
	if bits&32 != 0 {
		m.User = make([]Pair, bits%64*2)
	}
	return m
}

// aStream is one of those opened so far.
func (p *program) aStream() uint64 {
	return p.streams[p.next()%uint64(len(p.streams))]
}

// theirs is one of the host's own calls.
func (p *program) theirs() uint64 { return 2 + 2*(p.next()%hostCalls) }

// frame builds the frame that the operation stands for. Most are such that the
// connection goes on, or programs would not get far.
func (p *program) frame(op uint64) []byte {
	op %= 32
	switch {
	case op > 28 && p.next()%8 != 0,
		len(p.streams) == 0 && (op > 12 && op < 21),
		p.rest == 0 && op > 23 && op < 27:
		op = 6
	}
	return frame(func(b []byte) []byte {
		switch op {
		case 0, 1, 2:
			p.id += 2
			return append(wire.AppendCall(b, p.id, p.method(), p.meta()), p.text(p.next())...)
		case 3:
			return append(wire.AppendNotify(b, p.method(), p.meta()), p.text(p.next())...)
		case 4, 5:
			return wire.AppendCancel(b, p.anID(), p.next())
		case 6:
			return wire.AppendPing(b, p.next())
		case 7:
			return wire.AppendPong(b, p.next())
		case 29:
			return p.end(b)
		case 30:
			return p.strange(b)
		case 31:
			return append(b, p.text(p.next())...)
		}
		return p.dataFrame(op, b)
	})
}

// dataFrame builds a frame of streams or bodies in parts.
func (p *program) dataFrame(op uint64, b []byte) []byte {
	switch op {
	case 8, 9:
		id := p.theirs()
		m := p.meta()
		m.Length = p.replies[id]
		if p.next()%8 == 0 {
			m.Length = p.next()
		}
		return wire.AppendReply(b, id, p.next()%3, m)
	case 10, 11, 12:
		p.id += 2
		p.streams = append(p.streams, p.id)
		method := string("rrrqe"[p.next()%5])
		return append(wire.AppendOpen(b, p.id, method, p.meta()), p.text(p.next()%64)...)
	case 19:
		return wire.AppendHalfClose(b, p.aStream())
	case 20:
		return wire.AppendWindow(b, p.aStream(), p.next()<<4)
	case 21:
		return wire.AppendWindow(b, 0, p.next()<<4)
	case 22, 23: // a body in parts
		p.id += 2
		m := p.meta()
		m.Length = 1 + p.next()<<(p.next()%10)
		p.body, p.rest = p.id, m.Length
		return wire.AppendCall(b, p.id, p.method(), m)
	case 24, 25, 26:
		n := min(p.rest, 1+p.next()*4)
		p.rest -= n
		return append(wire.AppendData(b, p.body, p.next()%2 == 0), make([]byte, n)...)
	case 27:
		id, n := p.theirs(), p.next()*4
		p.replies[id] += n
		return append(wire.AppendData(b, id, p.next()%4 == 0), make([]byte, n)...)
	case 28:
		return wire.AppendWindow(b, p.theirs(), 0)
	}
	n := p.next() % 64 * (p.next() % 16)
	return append(wire.AppendData(b, p.aStream(), p.next()%4 == 0), make([]byte, n)...)
}

// end builds a frame that says that the connection ends, or makes it so.
func (p *program) end(b []byte) []byte {
	switch p.next() % 3 {
	case 0:
		return append(wire.AppendGoAway(b, p.anID(), p.next()), p.text(p.next())...)
	case 1:
		return wire.AppendHello(b, &wire.Hello{Version: p.next()})
	}
	return append(b, make([]byte, 300*p.next())...) // near and over the limit
}

// strange builds a frame with any id, or any number.
func (p *program) strange(b []byte) []byte {
	switch p.next() % 6 {
	case 0:
		return wire.AppendCall(b, p.anID(), p.method(), nil)
	case 1:
		return append(wire.AppendData(b, p.anID(), false), make([]byte, p.next()*20)...)
	case 2:
		return wire.AppendHalfClose(b, p.anID())
	case 3:
		return wire.AppendWindow(b, p.anID(), p.next()<<(p.next()&63))
	case 4:
		return wire.AppendReply(b, p.next(), p.next(), p.meta())
	}
	p.id += 2
	m := p.meta()
	m.Length = p.next() << (p.next() & 63)
	return wire.AppendCall(b, p.id, p.method(), m)
}
