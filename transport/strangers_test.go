package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"
)

// at is a stream from an address.
type at struct {
	net.Conn
	from   netip.Addr
	closed bool
}

func (a *at) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a.from, 1)) }
func (a *at) Close() error         { a.closed = true; return nil }

func from(text string) *at { return &at{from: netip.MustParseAddr(text)} }

// The one that goes is silent for longest, of the address with most; addresses of
// IPv6 count by /64, those of IPv4 by themselves however they are written.
func TestStrangersMakeRoom(t *testing.T) {
	for name, c := range map[string]struct {
		limit     int // without what is kept for members
		come      []string
		heard     []int // who has shown signs of life since
		late      string
		displaced int
		says      string
	}{
		"of most":           {4, []string{"10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.3"}, nil, "10.0.0.1", 1, "of 4 streams that have not said who they are 2 come from 10.0.0.2"},
		"not the last":      {3, []string{"10.0.0.2", "10.0.0.1", "10.0.0.1"}, nil, "10.0.0.2", 1, "2 come from 10.0.0.1"},
		"of equals":         {3, []string{"10.0.0.2", "10.0.0.1", "10.0.0.3"}, nil, "10.0.0.4", 0, "1 come from 10.0.0.2"},
		"of equals, spoken": {3, []string{"10.0.0.2", "10.0.0.1", "10.0.0.3"}, []int{0}, "10.0.0.4", 1, "1 come from 10.0.0.1"},
		"silent":            {3, []string{"10.0.0.1", "10.0.0.1", "10.0.0.1"}, []int{0, 1}, "10.0.0.4", 2, "3 come from 10.0.0.1"},
		"its own":           {3, []string{"10.0.0.1", "10.0.0.1", "10.0.0.1"}, nil, "10.0.0.1", 0, "3 come from 10.0.0.1"},
		"IPv6 by network":   {4, []string{"10.0.0.1", "10.0.0.1", "fd00::1", "fd00::2"}, []int{0}, "fd00::3", 1, "2 come from 10.0.0.1"},
		"IPv6 together":     {3, []string{"10.0.0.1", "fd00::1", "fd00::2"}, nil, "10.0.0.1", 1, "2 come from fd00::/64"},
		"IPv4 in IPv6":      {3, []string{"10.0.0.1", "10.0.0.2", "::ffff:10.0.0.1"}, nil, "10.0.0.3", 0, "2 come from 10.0.0.1"},
	} {
		s := NewStrangers(c.limit, nil)
		s.reserve = 0
		var streams []*at
		var strangers []*Stranger
		for _, addr := range c.come {
			streams = append(streams, from(addr))
			strangers = append(strangers, s.Admit(streams[len(streams)-1]))
		}
		for _, i := range c.heard {
			strangers[i].Heard()
		}
		late := from(c.late)
		p := s.Admit(late)
		for i, nc := range streams {
			same(t, fmt.Sprintf("%s: %d closed", name, i), nc.closed, i == c.displaced)
			err := strangers[i].Leave()
			same(t, fmt.Sprintf("%s: %d displaced", name, i), errors.Is(err, ErrCrowded), i == c.displaced)
			if err != nil && !strings.HasSuffix(err.Error(), c.says) {
				t.Errorf("%s: %v, want %s", name, err, c.says)
			}
		}
		same(t, name+": the late one", late.closed || p.Leave() != nil, false)
		same(t, name+": left", s.Len()+len(s.groups), 0)
	}
}

// What is kept for members is theirs whoever comes, and no more than that.
func TestStrangersKeepRoomForMembers(t *testing.T) {
	s := NewStrangers(8, func(a netip.Addr) bool { // 2 of them for members
		return a == netip.MustParseAddr("10.0.0.1") || a == netip.MustParseAddr("fd00::1")
	})
	members := []*at{from("10.0.0.1"), from("fd00::1")}
	for _, m := range members {
		s.Admit(m)
	}
	flood := func(n int) (open int) {
		var all []*at
		for i := range n {
			all = append(all, from(fmt.Sprintf("fd00::%d", 2+i)), from(fmt.Sprintf("10.1.0.%d", i)))
			s.Admit(all[len(all)-2])
			s.Admit(all[len(all)-1])
		}
		for _, nc := range all {
			if !nc.closed {
				open++
			}
		}
		return open
	}
	same(t, "of the flood", flood(50), 6)
	same(t, "members closed", members[0].closed || members[1].closed, false)
	more := []*at{from("10.0.0.1"), from("10.0.0.1"), from("10.0.0.1")}
	for _, m := range more {
		s.Admit(m)
	}
	same(t, "at the bound", s.Len(), 8)
	same(t, "the latest", more[2].closed, false)
	flood(50)
	same(t, "members that stay", s.ofMembers >= s.reserve, true)
	same(t, "all", s.Len(), 8)
	s.Close()
	same(t, "admitted after Close", s.Admit(from("10.0.0.1")), nil)
}

// Whatever comes and goes, the bounds hold, nobody is turned away, and nothing is
// left behind.
func TestStrangersProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(4, 20).Draw(t, "limit")
		s := NewStrangers(limit, func(a netip.Addr) bool { return a.AsSlice()[len(a.AsSlice())-1] == 1 })
		var in []*Stranger
		addr := func() netip.Addr {
			if rapid.Bool().Draw(t, "six") {
				return netip.AddrFrom16([16]byte{0: 0xfd, 7: rapid.Byte().Draw(t, "net") % 3, 15: rapid.Byte().Draw(t, "host") % 3})
			}
			return netip.AddrFrom4([4]byte{10, 0, 0, rapid.Byte().Draw(t, "host") % 5})
		}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0, 1:
				if len(in) > 0 {
					i := rapid.IntRange(0, len(in)-1).Draw(t, "who")
					if err := in[i].Leave(); (err != nil) != in[i].nc.(*at).closed {
						t.Fatalf("left with %v", err)
					}
					in = append(in[:i], in[i+1:]...)
				}
			case 2:
				if len(in) > 0 {
					in[rapid.IntRange(0, len(in)-1).Draw(t, "who")].Heard()
				}
			default:
				p := s.Admit(&at{from: addr()})
				if p == nil || p.nc.(*at).closed {
					t.Fatal("turned away")
				}
				in = append(in, p)
			}
			open, known := 0, 0
			for _, p := range in {
				if !p.nc.(*at).closed {
					open++
					if p.group.known {
						known++
					}
				}
			}
			if s.Len() != open || s.ofMembers != known || open > limit {
				t.Fatalf("%d of %d strangers, %d of %d of members, limit %d", s.Len(), open, s.ofMembers, known, limit)
			}
		}
		for _, p := range in {
			_ = p.Leave()
		}
		if s.Len() != 0 || s.ofMembers != 0 || len(s.groups) != 0 {
			t.Fatalf("%d strangers are left in %d groups", s.Len(), len(s.groups))
		}
	})
}

// elsewhere dials from another address than the lab's, where that can be.
func elsewhere(ctx context.Context, network Network, addr string) (net.Conn, error) {
	if n, ok := network.(*tlsNet); ok {
		network = n.Network
	}
	if n, ok := network.(*memNet); ok {
		return n.dialFrom(ctx, "10.9.9.9", addr)
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 9, 9, 9)}}
	if nc, err := d.DialContext(ctx, "tcp", addr); err == nil {
		return nc, nil
	}
	return network.Dial(ctx, addr) // some systems have but one address of their own
}

// flood opens n streams to addr that say no more than text, and each anew as soon as
// it is closed, until ctx ends or it has opened most. It returns once n have been
// opened.
func flood(l *lab, ctx context.Context, wg *sync.WaitGroup, addr, text string, n, most int) {
	var first sync.WaitGroup
	first.Add(n)
	var opened atomic.Int64
	for range n {
		wg.Go(func() {
			once := sync.OnceFunc(first.Done)
			defer once()
			for ctx.Err() == nil && opened.Add(1) <= int64(most) {
				nc, err := elsewhere(ctx, l.net, addr)
				if err != nil {
					continue
				}
				stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
				_, _ = io.WriteString(nc, text)
				once()
				_, _ = io.Copy(io.Discard, nc)
				stop()
				_ = nc.Close()
			}
		})
	}
	first.Wait()
}

// While strangers from another address flood the port, and come again at once, others
// get in at their first try: with all kinds of beginnings, with and without TLS. One
// line says so.
func TestFloodOfStrangers(t *testing.T) {
	texts := map[string]string{
		"silence": "", "the preface": "mesh", "a TLS record": "\x16\x03\x01\x02\x00",
	}
	for name, network := range networks(t) {
		l := &lab{t, network()}
		if strings.Contains(name, "simulator") || strings.Contains(name, "narrow") {
			continue // the same code
		}
		for what, text := range texts {
			t.Run(name+" and "+what, func(t *testing.T) {
				l := &lab{t, l.net}
				var log logText
				h := l.host(Config{Name: "b", Handler: echo{}, Logger: zerolog.New(&log)})
				for _, s := range []*Strangers{h.port.fresh, h.greeting} {
					s.mu.Lock()
					s.limit, s.reserve = 40, 10
					s.mu.Unlock()
				}
				ctx, cancel := context.WithCancel(context.Background())
				var wg sync.WaitGroup
				flood(l, ctx, &wg, h.addr, text, 80, 800)
				for range 5 {
					ep := l.endpoint(Config{Name: "a"})
					call(t, l.dial(ep, h), "echo", nil)
					ep.Close()
				}
				bounded := h.port.fresh.Len() <= 40 && h.greetings() <= 40
				cancel()
				wg.Wait()
				same(t, "strangers are bounded", bounded, true)
				if text == "" {
					if h.stats.Get(StrangersDisplaced) == 0 {
						t.Error("nobody was displaced")
					}
					same(t, "lines", strings.Count(log.String(), "strangers crowd the port"), 1)
				}
			})
		}
	}
}
