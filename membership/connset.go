package membership

import (
	"net"
	"sync"

	"github.com/meshnode/meshnode/transport"
)

// maxStreams bounds the gossip streams of others that are open at once. Beyond it, one of
// those that have been silent for longest makes room.
const maxStreams = 512

// connSet holds the open streams so that Stop can close them.
type connSet struct {
	crowded func(error) // told of streams that made room for others

	mu     sync.Mutex
	closed bool
	conns  map[*stream]struct{}
}

// add takes conn over. stranger is nil for a stream that was dialled here. After close
// it closes conn and returns an error.
func (s *connSet) add(conn net.Conn, stranger *transport.Stranger) (net.Conn, error) {
	st := &stream{Conn: conn, set: s, stranger: stranger}
	s.mu.Lock()
	closed := s.closed
	if !closed {
		if s.conns == nil {
			s.conns = make(map[*stream]struct{})
		}
		s.conns[st] = struct{}{}
	}
	s.mu.Unlock()
	if closed {
		_ = st.Close()
		return nil, ErrNotRunning
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
	set      *connSet
	stranger *transport.Stranger // nil: dialled here
}

// Read implements net.Conn.
func (st *stream) Read(b []byte) (int, error) {
	n, err := st.Conn.Read(b)
	if n > 0 && st.stranger != nil {
		st.stranger.Heard()
	}
	return n, err
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
	if st.stranger != nil {
		if err := st.stranger.Leave(); err != nil {
			st.set.crowded(err)
		}
	}
	return st.Conn.Close()
}
