package node

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// What strangers send ends their own connection, is counted, and disturbs
// nobody else.
func TestStrangersOnThePort(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nodes := l.cluster("a", "b")
	a := nodes[0]
	cases := []struct {
		name, sent, counter string
	}{
		{"MessagePack-RPC of the wrong shape", "\x94\x00\xa1x\xa5hello\x90", "mprpc_malformed"},
		{"MessagePack-RPC without end", "\xdd\x00\x00\x00\x04\x00\x01\xc6\x7f\xff\xff\xff", "mprpc_too_large"},
		{"HTTP", "GET / HTTP/1.1\r\n\r\n", "streams_refused"},
		{"TLS", "\x16\x03\x01\x02\x00", "streams_refused"},
		{"zeros", strings.Repeat("\x00", 1000), "streams_refused"},
		{"half a preface", "me\x00\x00\x00", "conns_refused"},
		{"no hello", "mesh\x00\x00\x00\x05\x94\x00\x01\xa1x\x80", "conns_refused"},
		{"huge hello", "mesh\xff\xff\xff\xff", "conns_refused"},
		{"garbled hello", "mesh\x00\x00\x00\x04\x93\x0b\x01\xc1", "conns_refused"},
	}
	for _, c := range cases {
		before := a.Stats()[c.counter]
		talk(t, a, c.sent)
		eventually(t, c.name+" is counted", func() error {
			if got := a.Stats()[c.counter] - before; got != 1 {
				return fmt.Errorf("%s rose by %d", c.counter, got)
			}
			return nil
		})
	}
	talk(t, a, "\xf4"+string(rune(len(l.name)))+l.name+"\xff\xff\xff\xff\xff") // as gossip of this cluster, but none
	talk(t, a, "\xf4\x05other\x06\x83")
	for _, n := range nodes {
		for _, to := range []string{"a", "b"} {
			if _, err := work.Call(t.Context(), n, &job{}, rpc.Peer(to)); err != nil {
				t.Errorf("afterwards %s to %s: %v", n.Name(), to, err)
			}
		}
	}
	if agree(t, nodes...); a.Stats()["protocol_errors"] != 0 {
		t.Errorf("counters %v", a.Stats())
	}
}

// talk sends text to a node's port and waits until it hangs up.
func talk(t *testing.T, n *Node, text string) {
	t.Helper()
	nc, err := net.Dial("tcp", n.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Write([]byte(text)); err != nil {
		return // it has hung up already
	}
	if _, err := io.Copy(io.Discard, nc); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after %.40q the connection stays open", text)
	}
}

// A peer that breaks the protocol after a good hello loses its connection.
func TestFramesOfABadPeer(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	good := dial(t, a, ClientConfig{})
	const hello = "mesh\x00\x00\x00\x04\x93\x0b\x01\x80" // of a client for any cluster
	for what, frame := range map[string]string{
		"too large":     "\x7f\xff\xff\xff",
		"unknown kind":  "\x00\x00\x00\x02\x91\x63",
		"garbage":       "\x00\x00\x00\x03\xc1\xc1\xc1",
		"empty":         "\x00\x00\x00\x00",
		"second hello":  "\x00\x00\x00\x04\x93\x0b\x01\x80",
		"stray reply":   "\x00\x00\x00\x05\x94\x01\x07\x00\x80",
		"used id":       strings.Repeat("\x00\x00\x00\x07\x94\x00\x01\xa1x\x80\xc0", 2),
		"long header":   "\x00\x02\x00\x00\x94\x00\x01\xdb\x00\x01\xff\xf0" + strings.Repeat("x", 128<<10),
		"endless array": "\x00\x00\x00\x05\xdd\xff\xff\xff\xff",
	} {
		before := a.Stats()["protocol_errors"]
		talk(t, a, hello+frame)
		eventually(t, what+" is counted", func() error {
			if got := a.Stats()["protocol_errors"] - before; got != 1 {
				return fmt.Errorf("protocol_errors rose by %d", got)
			}
			return nil
		})
	}
	if _, err := work.Call(t.Context(), good, &job{}); err != nil {
		t.Errorf("another client: %v", err)
	}
	l.log("a").wait(t, "warn", "broke the protocol")
}

// While somebody holds as many silent connections as the port takes, and more, clients
// get in and members join at once. The log says whose they are.
func TestFloodedPort(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 9, 9, 9)}}
	if probe, err := d.Dial("tcp", a.Addr().String()); err != nil {
		d.LocalAddr = nil // some systems have but one address of their own
	} else {
		_ = probe.Close()
	}
	for range 1000 {
		nc, err := d.Dial("tcp", a.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
	}
	eventually(t, "strangers are displaced", func() error {
		if a.Stats()["strangers_displaced"] == 0 {
			return errors.New("none was")
		}
		return nil
	})
	if _, err := work.Call(t.Context(), dial(t, a, ClientConfig{}), &job{}, rpc.Peer("a")); err != nil {
		t.Errorf("a client: %v", err)
	}
	b := l.start("b")
	agree(t, a, b)
	if _, err := work.Call(t.Context(), b, &job{}, rpc.Peer("a")); err != nil {
		t.Errorf("a member: %v", err)
	}
	l.log("a").wait(t, "warn", "strangers crowd the port")
}
