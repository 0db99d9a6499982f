package mprpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// Bytes that are no MessagePack-RPC end their stream and are counted; a request
// before them is still the client's.
func TestMalformed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bytes   string
		counter counter
	}{
		"no array":            {"\x01", malformed},
		"HTTP":                {"GET / HTTP/1.1\r\n\r\n", malformed},
		"empty array":         {"\x90", malformed},
		"response":            {"\x94\x01\x01\xc0\xc0", malformed},
		"unknown kind":        {"\x94\x09\x01\xa1x\x90", malformed},
		"five elements":       {"\x95\x00\x01\xa1x\x90\xc0", malformed},
		"notification of two": {"\x92\x02\xa1x", malformed},
		"id a string":         {"\x94\x00\xa1x\xa1x\x90", malformed},
		"id negative":         {"\x94\x00\xff\xa1x\x90", malformed},
		"unused byte":         {"\x94\x00\x01\xc1", malformed},
		"too deep":            {strings.Repeat("\x91", rpc.MaxDepth+3), malformed},
		"bin of 2 GiB":        {"\x94\x00\x01\xa1x\x91\xc6\x7f\xff\xff\xff", tooLarge},
		"array of 100 Mi":     {"\xdd\x06\x00\x00\x00", tooLarge},
		"map of 100 Mi":       {"\x94\x00\x01\xa1x\x91\xdf\x06\x00\x00\x00", tooLarge},
		"just too large":      {"\x94\x00\x01\xa1x\x91\xc6\x00\x40\x00\x00", tooLarge},
	} {
		l := newLab(t, Limits{})
		c1 := l.connect()
		c1.ask(1, "x", "y").wantResult(t, name, "y")
		_, _ = c1.Write([]byte(c.bytes)) // the end may come in the middle
		c1.wantEnd(name)
		if l.count(c.counter) != 1 || l.count(malformed)+l.count(tooLarge) != 1 {
			t.Errorf("%s: counters %v", name, l.Stats())
		}
	}
}

// A message that has begun must go on; one that comes slowly but steadily may.
func TestSlowMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, Limits{})
		c := l.connect()
		time.Sleep(time.Hour) // silence between messages is no fault
		c.ask(1, "x", "y").wantResult(t, "after an hour", "y")

		size := 1 << 20
		head := binary.BigEndian.AppendUint32([]byte("\x94\x00\x02\xa1x\x91\xc6"), uint32(size))
		c.write(head)
		for range 4 {
			time.Sleep(29 * time.Second)
			c.write(bytes.Repeat([]byte("a"), size/4))
		}
		c.answer().wantResult(t, "a MiB in two minutes", bytes.Repeat([]byte("a"), size))

		began := time.Now()
		c.write([]byte("\x94\x00\x03\xda\x01\x00"))
		for time.Since(began) < time.Hour {
			if _, err := c.Write([]byte("a")); err != nil {
				break
			}
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took > DefaultMessageTimeout+time.Second {
			t.Errorf("a slow message was cut after %v", took)
		}
		c.wantEnd("slow message")
		l.wantCounts(map[string]uint64{"mprpc_conns": 1, "mprpc_calls": 2, "mprpc_timeouts": 1})
	})
}

// A client that does not read its answers is not read from any more, and loses
// its connection.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, Limits{})
		big := append(binary.BigEndian.AppendUint32([]byte{0xc6}, 256<<10), make([]byte, 256<<10)...)
		l.do["big"] = func(context.Context, *rpc.Call) ([]byte, error) { return big, nil }
		c := l.connect()
		sent := 0
		began := time.Now()
		for {
			if _, err := c.Write([]byte("\x94\x00\x01\xa3big\x90")); err != nil {
				break
			}
			sent++
			synctest.Wait()
		}
		if took := time.Since(began); took != DefaultWriteTimeout {
			t.Errorf("cut after %v", took)
		}
		if most := pauseAt/len(big) + 3; sent > most {
			t.Errorf("%d requests were taken, want at most %d", sent, most)
		}
		c.wantEnd("slow reader")
		if l.count(timeouts) != 1 {
			t.Errorf("counters %v", l.Stats())
		}
	})
}

// What is declared costs nothing before it arrives.
func TestBufferGrowsWithBytes(t *testing.T) {
	t.Parallel()
	const limit = 4 << 20
	src, dst := io.Pipe()
	held := 0
	in := newInbox(src, limit, func(n int) bool { held += n; return true })
	size := limit - 100
	go func() {
		_, _ = dst.Write(binary.BigEndian.AppendUint32([]byte{0xc6}, uint32(size)))
		for range size / 1000 {
			_, _ = dst.Write(make([]byte, 1000))
		}
		_, _ = dst.Write(make([]byte, size%1000))
		_ = dst.Close()
	}()
	reads := 0
	for {
		msg, err := in.next()
		if err != nil {
			t.Fatal(err)
		}
		if msg != nil {
			if len(msg) != size+5 {
				t.Errorf("a message of %d bytes", len(msg))
			}
			break
		}
		if _, err := in.fill(); err != nil {
			t.Fatal(err)
		}
		reads++
		if most := max(firstRead, 2*in.to); len(in.buf) > most || held != len(in.buf)-firstRead {
			t.Fatalf("after %d bytes the buffer has %d, held are %d", in.to, len(in.buf), held)
		}
	}
	if _, err := in.fill(); err != io.EOF || len(in.buf) != firstRead || held != 0 {
		t.Errorf("after the message: %v, buffer of %d, held %d", err, len(in.buf), held)
	}
}

// A buffer that is full of the beginning of a message that cannot end in it
// makes no loop.
func TestMessageOfTheLimit(t *testing.T) {
	t.Parallel()
	for limit := firstRead - 3; limit < firstRead+3; limit++ {
		for _, tail := range []string{"\xc0", "\xc4", "\xdb", "\xdb\xff", "\xd9\x05"} {
			stream := append([]byte{0xdc, byte(limit >> 8), byte(limit)}, bytes.Repeat([]byte{0xc0}, limit-3-len(tail))...)
			stream = append(stream, tail...)
			in := newInbox(iotestReader{bytes.NewReader(stream)}, limit, func(int) bool { return true })
			_, err := in.next()
			for err == nil {
				if _, err = in.fill(); err == nil {
					_, err = in.next()
				}
			}
			if errors.Is(err, io.EOF) {
				t.Errorf("limit %d, tail %x: not refused", limit, tail)
			}
		}
	}
}

// iotestReader gives a byte at a time, and fails on an empty buffer.
type iotestReader struct{ src io.Reader }

func (r iotestReader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, errors.New("no room to read into")
	}
	return r.src.Read(b[:1])
}
