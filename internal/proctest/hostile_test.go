//go:build process

package proctest

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/meshnode/meshnode/node"
)

// TestHostile sends bytes that the protocol does not know to a node that serves
// others meanwhile: each connection ends, is counted, and nobody else notices.
func TestHostile(t *testing.T) {
	c := startCluster(t, 2)
	cl := c.client(c.members[0])
	load := startLoad(t, []*node.Client{cl}, once)
	before := counters(t, cl)
	huge := binary.BigEndian.AppendUint32([]byte("mesh"), 1<<31)
	for what, attack := range map[string]struct {
		bytes   []byte
		counter string
	}{
		"no protocol":       {[]byte("GET / HTTP/1.1\r\n\r\n"), "streams_refused"},
		"MessagePack-RPC":   {[]byte{0x94, 9, 1, 0xa1, 'x', 0x90}, "mprpc_malformed"},
		"garbage preface":   {[]byte("mash, not mesh"), "conns_refused"},
		"garbage hello":     {append([]byte("mesh\x00\x00\x00\x08"), "garbage!"...), "conns_refused"},
		"hello of 2 GiB":    {huge, "conns_refused"},
		"truncated hello":   {[]byte("mesh\x00\x00\x00\x50\x93\x0b"), "conns_refused"},
		"empty first frame": {[]byte("mesh\x00\x00\x00\x00"), "conns_refused"},
	} {
		nc, err := net.Dial("tcp", c.members[0].addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := nc.Write(attack.bytes); err != nil {
			t.Fatal(err)
		}
		_ = nc.(*net.TCPConn).CloseWrite()
		_ = nc.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.Copy(io.Discard, nc); err != nil && isTimeout(err) {
			t.Errorf("%s: the connection was not ended", what)
		}
		_ = nc.Close()
		before[attack.counter]++
	}
	eventually(t, 5*time.Second, func() bool {
		now := counters(t, cl)
		for _, name := range []string{"streams_refused", "conns_refused", "mprpc_malformed"} {
			if now[name] < before[name] {
				return false
			}
		}
		return true
	}, func() string { return "not every attack was counted" })
	if calls, failed := load.stop(); failed > 0 {
		t.Errorf("%d of %d calls of others failed meanwhile", failed, calls)
	}
	c.agree(2, time.Second)
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

func counters(t *testing.T, cl *node.Client) map[string]uint64 {
	t.Helper()
	reply, err := node.Statistics.Call(context.Background(), cl, &node.StatisticsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return reply.Counters
}
