package membership

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/meshnode/meshnode/transport"
)

// Streams of strangers that claim to be gossip and say no more do not keep others out.
func TestGossipStreamsMakeRoom(t *testing.T) {
	told := 0
	s := connSet{crowded: func(error) { told++ }}
	others := transport.NewStrangers(4, nil)
	var near []net.Conn
	var tracked []net.Conn
	for range 6 {
		a, b := net.Pipe()
		st, err := s.add(b, others.Admit(b))
		if err != nil {
			t.Fatal(err)
		}
		near, tracked = append(near, a), append(tracked, st)
	}
	dialled, far := net.Pipe()
	if _, err := s.add(dialled, nil); err != nil {
		t.Fatalf("a stream of our own: %v", err)
	}
	for i, nc := range near {
		_ = nc.SetReadDeadline(time.Now().Add(time.Millisecond))
		_, err := nc.Read(make([]byte, 1))
		if closed := err == io.EOF; closed != (i < len(near)-others.Len()) {
			t.Errorf("stream %d: %v", i, err)
		}
		_ = tracked[i].Close()
		_ = nc.Close()
	}
	if want := len(near) - 3; told != want || others.Len() != 0 {
		t.Errorf("%d were told of, want %d; %d are left", told, want, others.Len())
	}
	s.close()
	if _, err := far.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a stream of our own after close: %v", err)
	}
	if _, err := s.add(dialled, nil); err != ErrNotRunning {
		t.Errorf("after close: %v", err)
	}
}
