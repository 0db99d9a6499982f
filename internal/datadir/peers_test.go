package datadir

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What is saved is there at the next start: the first MaxPeers, in their order.
func TestPeersAreKept(t *testing.T) {
	cfg := Config{Path: t.TempDir(), Name: "a", DefaultCluster: "c"}
	d := open(t, cfg)
	if peers, err := d.Peers(); err != nil || len(peers) != 0 {
		t.Errorf("a new directory has %v, %v", peers, err)
	}
	rapid.Check(t, func(t *rapid.T) {
		peers := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Peer {
			ip := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "ip")))
			if rapid.Bool().Draw(t, "six") {
				ip = netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "ip")))
			}
			return Peer{
				Name: rapid.StringMatching(`[!-.0-~]{1,128}`).Draw(t, "name"),
				Addr: netip.AddrPortFrom(ip, rapid.Uint16Min(1).Draw(t, "port")),
			}
		}), 0, MaxPeers+20).Draw(t, "peers")
		if err := d.SavePeers(peers); err != nil {
			t.Fatal(err)
		}
		got, err := d.Peers()
		if want := peers[:min(len(peers), MaxPeers)]; err != nil || !slices.Equal(got, want) {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	})
	last, err := d.Peers()
	if err != nil {
		t.Fatal(err)
	}
	closed(t, d)
	if got, err := open(t, cfg).Peers(); err != nil || !slices.Equal(got, last) {
		t.Errorf("the next start has %v, %v, want %v", got, err, last)
	}
}

// A damaged entry spoils no other one; a damaged file is an error with its path, and
// is as good as new once peers are saved.
func TestDamagedPeers(t *testing.T) {
	d := open(t, Config{Path: t.TempDir(), Name: "a", DefaultCluster: "c"})
	for _, c := range []struct {
		text  string
		err   error
		peers int
	}{
		{"", ErrDamaged, 0},
		{"\x00\x00\x00", ErrDamaged, 0},
		{`{"format":1,"peers":[{"name":"b","addr":"10.0.0.1:7101"}`, ErrDamaged, 0},
		{`{"format":1,"peers":{"b":"10.0.0.1:7101"}}`, ErrDamaged, 0},
		{`{"format":9,"peers":"in another form"}`, ErrNewerFormat, 0},
		{`{"format":1}` + strings.Repeat(" ", maxPeersFile), ErrDamaged, 0},
		{`{"format":1}`, nil, 0},
		{`{"format":1,"peers":[{"name":"b","addr":"10.0.0.1:7101","more":1},{"name":"","addr":"10.0.0.1:7101"},{"name":"c","addr":"c:1"},{"name":"d","addr":"10.0.0.1:0"},{}]}`, nil, 1},
		{`{"format":1,"peers":[` + strings.Repeat(`{"name":"b","addr":"10.0.0.1:7101"},`, 2*MaxPeers) + `{}]}`, nil, MaxPeers},
	} {
		if err := os.WriteFile(d.PeersFile(), []byte(c.text), fileMode); err != nil {
			t.Fatal(err)
		}
		peers, err := d.Peers()
		if !errors.Is(err, c.err) || len(peers) != c.peers || err != nil && !strings.Contains(err.Error(), d.PeersFile()) {
			t.Errorf("%.60q gives %d peers, %v; want %d, %v", c.text, len(peers), err, c.peers, c.err)
		}
	}
	want := []Peer{{"b", netip.MustParseAddrPort("10.0.0.1:7101")}}
	if err := d.SavePeers(want); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Peers(); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

// A save that fails leaves what was saved before, and nothing else.
func TestFailedSave(t *testing.T) {
	d := open(t, Config{Path: t.TempDir(), Name: "a", DefaultCluster: "c"})
	before := []Peer{{"b", netip.MustParseAddrPort("10.0.0.1:7101")}}
	if err := d.SavePeers(before); err != nil {
		t.Fatal(err)
	}
	part := d.PeersFile() + temporary
	blocker := filepath.Join(part, "in", "the", "way")
	if err := os.MkdirAll(blocker, dirMode); err != nil {
		t.Fatal(err)
	}
	if err := d.SavePeers(nil); err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("got %v", err)
	}
	if got, err := d.Peers(); err != nil || !slices.Equal(got, before) {
		t.Errorf("after a failed save: %v, %v", got, err)
	}
	if err := os.RemoveAll(part); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(part, []byte("half a fi"), fileMode); err != nil { // as a crash leaves it
		t.Fatal(err)
	}
	if err := d.SavePeers(nil); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(part); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something is left: %v", err)
	}
}

// Whoever reads while peers are saved sees one list or the other.
func TestSavedAsAWhole(t *testing.T) {
	d := open(t, Config{Path: t.TempDir(), Name: "a", DefaultCluster: "c"})
	lists := [2][]Peer{{}, nil}
	for i := range MaxPeers {
		lists[1] = append(lists[1], Peer{fmt.Sprintf("n%d", i), netip.MustParseAddrPort("10.0.0.1:7101")})
	}
	if err := d.SavePeers(nil); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 50 {
			if err := d.SavePeers(lists[i%2]); err != nil {
				t.Error(err)
			}
		}
	}()
	for reads := 0; ; reads++ {
		if got, err := d.Peers(); err != nil || len(got) != 0 && len(got) != MaxPeers {
			t.Fatalf("read %d gives %d peers, %v", reads, len(got), err)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

// FuzzFiles reads both files from any bytes: an error that is named, or what can be
// saved and read again.
func FuzzFiles(f *testing.F) {
	f.Add([]byte(`{"format":1,"name":"a","cluster":"c","created":"2026-01-02T03:04:05Z"}`))
	f.Add([]byte(`{"format":1,"saved":"2026-01-02T03:04:05Z","peers":[{"name":"b","addr":"[::1]:7101"}]}`))
	f.Add([]byte(`{"format":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		named := func(err error) bool { return errors.Is(err, ErrDamaged) || errors.Is(err, ErrNewerFormat) }
		who, err := parseIdentity(data)
		if err == nil && (who.Name == "" || who.Cluster == "") || err != nil && !named(err) {
			t.Errorf("identity %+v, %v", who, err)
		}
		peers, err := parsePeers(data)
		if err != nil && !named(err) || err != nil && peers != nil || len(peers) > MaxPeers {
			t.Fatalf("%d peers, %v", len(peers), err)
		}
		for _, p := range peers {
			if p.Name == "" || !p.Addr.IsValid() || p.Addr.Port() == 0 {
				t.Errorf("peer %+v", p)
			}
		}
	})
}
