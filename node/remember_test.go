package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/rpc"
)

// notebook is a Memory.
type notebook struct {
	mu    sync.Mutex
	peers []KnownPeer
	when  []time.Time // of calls of Remember
	fail  error
}

func (b *notebook) Known() []KnownPeer {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.peers
}

func (b *notebook) Remember(peers []KnownPeer) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.when = append(b.when, time.Now())
	if b.fail == nil {
		b.peers = peers
	}
	return b.fail
}

func (b *notebook) String() string { return "the notebook" }

func (b *notebook) failing(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail = err
}

func (b *notebook) names() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var names []string
	for _, p := range b.peers {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return names
}

func (b *notebook) has(t *testing.T, names ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%v are remembered", names), func() error {
		if got := b.names(); !slices.Equal(got, names) {
			return fmt.Errorf("it is %v", got)
		}
		return nil
	})
}

// remembering gives every node of a lab a notebook and an address that it keeps over
// its lives, and none of them a seed while alone is set.
type remembering struct {
	*lab
	books map[string]*notebook
	addrs map[string]string
	seeds []string // in place of the lab's, if alone
	alone bool
}

func newRemembering(t *testing.T) *remembering {
	r := &remembering{lab: newLab(t), books: map[string]*notebook{}, addrs: map[string]string{}}
	r.edit = func(cfg *Config) {
		if r.books[cfg.Name] == nil {
			r.books[cfg.Name], r.addrs[cfg.Name] = &notebook{}, fixedAddr(t)
		}
		cfg.Bind, cfg.Remember = r.addrs[cfg.Name], r.books[cfg.Name]
		if r.alone {
			cfg.Seeds = r.seeds
		}
	}
	return r
}

// A node that crashed comes back without seeds, or with dead ones, and owns what it
// owned; so does a whole cluster that is started at once.
func TestRememberedPeersLeadBack(t *testing.T) {
	t.Parallel()
	for name, seeds := range map[string][]string{"no seeds": nil, "dead seeds": {"127.0.0.1:1"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRemembering(t)
			r.seeds = seeds
			nodes := r.cluster("a", "b", "c")
			r.books["a"].has(t, "b", "c")
			r.books["b"].has(t, "a", "c")
			r.books["c"].has(t, "a", "b")
			key := keysOf(nodes[0], "a", 1)[0]
			r.alone = true
			nodes[0].Close()
			nodes[0] = r.start("a")
			agree(t, nodes...)
			got, err := work.Call(t.Context(), nodes[2], &job{Key: key}, rpc.Key(key))
			if err != nil || got.Node != "a" {
				t.Errorf("%+v, %v", got, err)
			}

			for _, n := range nodes {
				n.Close()
			}
			var started sync.WaitGroup
			for i, name := range []string{"a", "b", "c"} {
				nodes[i] = r.build(r.config(name))
				started.Go(func() {
					if err := nodes[i].Start(t.Context()); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				})
			}
			started.Wait()
			agree(t, nodes...)
		})
	}
}

// A node that knew others founds no cluster while it finds none of them, and says
// whom it looks for; one that never knew anybody, or saw all others leave, does.
func TestRememberedPeersAreWaitedFor(t *testing.T) {
	t.Parallel()
	r := newRemembering(t)
	nodes := r.cluster("a", "b")
	r.books["b"].has(t, "a")
	r.alone = true
	for _, n := range nodes {
		n.Close()
	}
	b := r.build(r.config("b"))
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { failed <- b.Start(ctx) }()
	r.log("b").wait(t, "warn", "no peer that this node knew could be joined", r.addrs["a"])
	if ready, why := b.Ready(); ready || !strings.Contains(why, "one of the 1 peers in the notebook") {
		t.Errorf("ready: %v, %q", ready, why)
	}
	cancel()
	if err := await(t, "the end of Start", failed); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "known peer a") {
		t.Errorf("Start gives %v", err)
	}
	r.books["b"].has(t, "a") // it forgets nobody for not being there

	r.books["b"].peers = nil // as somebody who knows that a is gone for good does
	b = r.start("b")
	r.alone = false
	a := r.start("a")
	agree(t, a, b)
	r.books["b"].has(t, "a")
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.books["b"].has(t)
	r.alone = true
	b.Close()
	agree(t, r.start("b"))
}

// Nodes that leave together remember each other; the last one to stop does not take
// the others' leaving for news.
func TestLeavingTogether(t *testing.T) {
	t.Parallel()
	r := newRemembering(t)
	nodes := r.cluster("a", "b", "c")
	for name, others := range map[string][]string{"a": {"b", "c"}, "b": {"a", "c"}, "c": {"a", "b"}} {
		r.books[name].has(t, others...)
	}
	for _, n := range nodes {
		n.life.stop() // all are told before any has left
	}
	for _, n := range nodes {
		n.leave(t.Context(), n.cluster.Load())
	}
	for _, n := range nodes {
		n.shut()
	}
	for name, others := range map[string][]string{"a": {"b", "c"}, "b": {"a", "c"}, "c": {"a", "b"}} {
		r.books[name].has(t, others...)
	}
}

// Remember is called when something has changed, at most once a second, again some
// time after an error, and at the end with what is left.
func TestRememberedAtMostOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logs{}
		book := &notebook{}
		n := &Node{log: zerolog.New(log)}
		n.known.recall(book)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			n.rememberPeers(ctx)
		}()
		begun := time.Now()
		calls := func(want ...time.Duration) {
			t.Helper()
			synctest.Wait()
			book.mu.Lock()
			defer book.mu.Unlock()
			var got []time.Duration
			for _, at := range book.when {
				got = append(got, at.Sub(begun))
			}
			if !slices.Equal(got, want) {
				t.Fatalf("Remember was called at %v, want %v", got, want)
			}
		}
		see := func(names ...string) { n.known.observe(snapshotOf(names...)) }
		calls()
		see("b")
		calls(0)
		for range 10 {
			see("b", "c")
			time.Sleep(20 * time.Millisecond)
			see("b")
			time.Sleep(20 * time.Millisecond)
		}
		see("b", "d")
		calls(0)
		time.Sleep(time.Second)
		calls(0, time.Second)
		time.Sleep(time.Hour)
		see("b", "d")
		calls(0, time.Second) // nothing has changed

		at := time.Since(begun)
		book.failing(errors.New("disk full"))
		see("b", "d", "e")
		time.Sleep(15 * time.Second)
		calls(0, time.Second, at, at+10*time.Second)
		if text := log.String(); strings.Count(text, "disk full") != 1 || !strings.Contains(text, "the notebook") {
			t.Errorf("logged is %s", text)
		}
		book.failing(nil)
		time.Sleep(15 * time.Second)
		calls(0, time.Second, at, at+10*time.Second, at+20*time.Second)
		see("f")
		calls(0, time.Second, at, at+10*time.Second, at+20*time.Second, at+30*time.Second)
		see("g")
		cancel()
		<-ended
		if got := book.names(); !slices.Equal(got, []string{"b", "c", "d", "e", "f", "g"}) {
			t.Errorf("at the end it is %v", got)
		}
	})
}

// snapshotOf gives the members of these names, self beside them.
func snapshotOf(names ...string) *membership.Snapshot {
	s := &membership.Snapshot{Self: "self"}
	for i, name := range append(slices.Sorted(slices.Values(names)), "self") {
		s.Members = append(s.Members, membership.Member{Name: name, Addr: addrOf(name), Boot: uint64(i), State: membership.StateServing})
	}
	return s
}

// addrOf gives the address of a name of one letter or more.
func addrOf(name string) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, name[0]}), 7101)
}

// Of any history of a cluster those are remembered who are there, and those who went
// without a word since they were last seen, the latest first.
func TestAcquaintances(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, book := &acquaintances{}, &notebook{}
		names := []string{"a", "b", "c", "d", "e"}
		for _, name := range rapid.Permutation([]string{"c", "x", "self"}).Draw(t, "earlier") {
			book.peers = append(book.peers, KnownPeer{name, addrOf(name)})
		}
		a.recall(book)
		gone := slices.Clone(book.peers) // the model
		live := map[string]membership.Member{}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			name := rapid.SampledFrom(names).Draw(t, "name")
			m, there := live[name]
			switch {
			case !there:
				m = membership.Member{Name: name, Addr: addrOf(name), State: membership.StateServing}
				if rapid.Bool().Draw(t, "elsewhere") { // where another of the names was
					m.Addr = addrOf(rapid.SampledFrom(append(names, "x")).Draw(t, "where"))
				}
				live[name] = m
			case rapid.Bool().Draw(t, "drains"):
				m.State = membership.StateDraining
				live[name] = m
			default:
				delete(live, name)
				if m.State != membership.StateDraining {
					gone = append([]KnownPeer{{name, m.Addr}}, gone...)
				}
			}
			s := &membership.Snapshot{Self: "self", Members: []membership.Member{{Name: "self", Addr: addrOf("self")}}}
			for _, m := range live {
				s.Members = append(s.Members, m)
			}
			slices.SortFunc(s.Members, func(x, y membership.Member) int { return strings.Compare(x.Name, y.Name) })
			gone = slices.DeleteFunc(gone, func(p KnownPeer) bool {
				return slices.ContainsFunc(s.Members, func(m membership.Member) bool { return m.Name == p.Name || m.Addr == p.Addr })
			})
			a.observe(s)
			if err := a.save(); err != nil {
				t.Fatal(err)
			}
			var want []KnownPeer
			for _, m := range s.Members {
				if m.Name != "self" {
					want = append(want, KnownPeer{m.Name, m.Addr})
				}
			}
			if want = append(want, gone...); !slices.Equal(book.peers, want) {
				t.Fatalf("remembered are %v, want %v", book.peers, want)
			}
		}
	})
}

// No more than MaxKnownPeers are remembered: who has been there for longest first.
func TestRememberedAreBounded(t *testing.T) {
	a, book := &acquaintances{}, &notebook{}
	for i := range 2 * MaxKnownPeers {
		book.peers = append(book.peers, KnownPeer{fmt.Sprintf("old%d", i), netip.AddrPortFrom(addrOf("o").Addr(), uint16(i+1))})
	}
	if known := a.recall(book); len(known) != MaxKnownPeers {
		t.Errorf("%d are tried", len(known))
	}
	s := &membership.Snapshot{Self: "self"}
	begin := time.Now()
	for i := range MaxKnownPeers + 10 {
		s.Members = append(s.Members, membership.Member{
			Name: fmt.Sprintf("n%04d", i), Addr: netip.AddrPortFrom(addrOf("n").Addr(), uint16(i+1)), Since: begin.Add(-time.Duration(i)),
		})
	}
	a.observe(s)
	if err := a.save(); err != nil || len(book.peers) != MaxKnownPeers || book.peers[0].Name != "n0265" || book.peers[MaxKnownPeers-1].Name != "n0010" {
		t.Errorf("%v: %d, %v to %v", err, len(book.peers), book.peers[0], book.peers[len(book.peers)-1])
	}
}
