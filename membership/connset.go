package membership

import (
	"errors"
	"net"
	"sync"
)

// maxStreams bounds the gossip streams that are open at once.
const maxStreams = 512

// errManyStreams refuses a gossip stream above maxStreams.
var errManyStreams = errors.New("membership: too many gossip streams")

// connSet holds the open streams so that Stop can close them. The zero value
// is ready to use.
type connSet struct {
	mu     sync.Mutex
	closed bool
	conns  map[*stream]struct{}
}

// add takes conn over. After close, and when there are too many, it closes
// conn and returns an error.
func (s *connSet) add(conn net.Conn) (net.Conn, error) {
	st := &stream{Conn: conn, set: s}
	s.mu.Lock()
	var err error
	switch {
	case s.closed:
		err = ErrNotRunning
	case len(s.conns) >= maxStreams:
		err = errManyStreams
	default:
		if s.conns == nil {
			s.conns = make(map[*stream]struct{})
		}
		s.conns[st] = struct{}{}
	}
	s.mu.Unlock()
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return st, nil
}

func (s *connSet) remove(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, st)
}

// close closes all streams and those to come.
func (s *connSet) close() {
	s.mu.Lock()
	s.closed = true
	open := make([]*stream, 0, len(s.conns))
	for st := range s.conns {
		open = append(open, st)
	}
	s.mu.Unlock()
	for _, st := range open {
		_ = st.Close()
	}
}

// stream is a connection of a connSet.
type stream struct {
	net.Conn
	set *connSet
}

// Write closes the stream when it fails: memberlist drops a dialled stream on
// which it cannot write the label without closing it.
func (st *stream) Write(b []byte) (int, error) {
	n, err := st.Conn.Write(b)
	if err != nil {
		_ = st.Close()
	}
	return n, err
}

// Close implements net.Conn.
func (st *stream) Close() error {
	st.set.remove(st)
	return st.Conn.Close()
}
