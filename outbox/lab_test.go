package outbox

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/router"
	"github.com/meshnode/meshnode/rpc"
)

func TestMain(m *testing.M) {
	waitTogether()
	os.Exit(run(m))
}

// waitTogether lets more tests run beside each other than there are processors, since
// most of them wait for gossip. -parallel overrides it.
func waitTogether() {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set(strconv.Itoa(min(3*runtime.GOMAXPROCS(0), 6)))
	}
}

// run runs the tests and looks for goroutines that are left. memberlist ends without
// waiting for its probes, which take seconds when the probed is gone.
func run(m *testing.M) int {
	if code := m.Run(); code != 0 {
		return code
	}
	for end := time.Now().Add(patience); ; {
		err := goleak.Find()
		if err == nil {
			return 0
		}
		if time.Now().After(end) {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
}

// patience is how long a test waits for what must happen in the end.
const patience = 30 * time.Second

type (
	add struct {
		N    uint64
		Then string // a key to which the same is added by a call of the handler
		Fail string // the code that the handler fails with, after it has written
	}
	sum struct{ Sum, Calls uint64 }
)

var (
	addMethod = rpc.NewMethod[add, sum]("lab.Add")
	getMethod = rpc.NewMethod[string, sum]("lab.Get", rpc.Idempotent())
)

// machine is one node with a box, which can be started again on what it left.
type machine struct {
	l     *lab
	name  string
	dir   string
	n     *node.Node
	box   *Box
	table *router.Table // as it was last looked at
	mu    sync.Mutex
	ran   []string // ids and arguments of the calls that handlers ran, also those undone
}

// lab is a cluster of machines in this process.
type lab struct {
	testing.TB
	cluster string
	cfg     Config
	serve   func(*machine)     // registers further handlers
	node    func(*node.Config) // changes how machines' nodes are configured
	nodes   map[string]*machine
}

func newLab(t testing.TB) *lab {
	return &lab{
		TB: t, cluster: fmt.Sprintf("outbox-%d-%s", os.Getpid(), t.Name()), nodes: map[string]*machine{},
		cfg: Config{BackoffMax: 200 * time.Millisecond, Logger: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel)},
	}
}

// start starts a machine, the first time or again.
func (l *lab) start(name string) *machine {
	l.Helper()
	m := l.nodes[name]
	if m == nil {
		m = &machine{l: l, name: name, dir: filepath.Join(l.TempDir(), name)}
		l.nodes[name] = m
	}
	var seeds []string
	for _, other := range l.nodes {
		if other.n != nil {
			seeds = append(seeds, other.n.Addr().String())
		}
	}
	cfg := node.Config{
		Name: name, Cluster: l.cluster, Seeds: seeds, Profile: membership.Local,
		Table: router.Params{Partitions: 64}, Logger: zerolog.Nop(),
	}
	if l.node != nil {
		l.node(&cfg)
	}
	n, err := node.New(cfg)
	if err != nil {
		l.Fatal(err)
	}
	if m.box, err = Open(m.dir, l.cfg); err != nil {
		l.Fatal(err)
	}
	Handle(m.box, n, addMethod, m.add)
	Handle(m.box, n, getMethod, m.get)
	m.n = n
	if l.serve != nil {
		l.serve(m)
	}
	if err := m.box.Start(n); err != nil {
		l.Fatal(err)
	}
	if err := n.Start(l.Context()); err != nil {
		l.Fatal(err)
	}
	l.Cleanup(m.crash)
	return m
}

// crash ends a machine without word: its files stay as they are.
func (m *machine) crash() {
	if m.n == nil {
		return
	}
	m.n.Close()
	_ = m.box.Close()
	m.n = nil
}

// leave ends a machine gracefully.
func (m *machine) leave() {
	m.l.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := m.n.Stop(ctx); err != nil {
		m.l.Error(err)
	}
	if err := m.box.Close(); err != nil {
		m.l.Error(err)
	}
	m.n = nil
}

func (m *machine) add(ctx context.Context, tx *Tx, req *add) (*sum, error) {
	m.mu.Lock()
	m.ran = append(m.ran, fmt.Sprintf("%s %d", tx.ID(), req.N))
	m.mu.Unlock()
	b := tx.Bucket("sums")
	s := read(b)
	s.Sum += req.N
	s.Calls++
	v := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, s.Sum), s.Calls)
	if err := b.Put([]byte("all"), v); err != nil {
		return nil, err
	}
	if req.Then != "" {
		if _, err := addMethod.Enqueue(ctx, tx, &add{N: req.N}, rpc.Key(req.Then)); err != nil {
			return nil, err
		}
	}
	for _, c := range rpc.Codes() {
		if c.String() == req.Fail {
			return nil, rpc.Errorf(c, "as asked")
		}
	}
	return &s, nil
}

func (m *machine) get(_ context.Context, tx *Tx, _ *string) (*sum, error) {
	s := read(tx.Bucket("sums"))
	return &s, nil
}

func read(b *Bucket) (s sum) {
	if v := b.Get([]byte("all")); v != nil {
		s.Sum, s.Calls = binary.LittleEndian.Uint64(v), binary.LittleEndian.Uint64(v[8:])
	}
	return s
}

// within gives a context that ends with the test's patience.
func (l *lab) within() context.Context {
	ctx, cancel := context.WithTimeout(l.Context(), patience)
	l.Cleanup(cancel)
	return ctx
}

// enqueue has a call made.
func (m *machine) enqueue(key string, req *add, opts ...rpc.CallOption) string {
	m.l.Helper()
	id, err := addMethod.Enqueue(m.l.within(), m.box, req, append(opts, rpc.Key(key))...)
	if err != nil {
		m.l.Fatal(err)
	}
	return id
}

// await waits for the end of a call.
func (m *machine) await(id string) (*sum, error) {
	return addMethod.Await(m.l.within(), m.box, id)
}

// sumOf asks the owner of a key for the sum of the key's partition, as soon as
// anybody holds it.
func (l *lab) sumOf(by *machine, key string) sum {
	l.Helper()
	var s *sum
	l.until("the sum of "+key, func() (err error) {
		s, err = getMethod.Call(l.within(), by.n, &key, rpc.Key(key), rpc.Timeout(time.Second))
		return err
	})
	return *s
}

// until waits until do succeeds.
func (l *lab) until(what string, do func() error) {
	l.Helper()
	var err error
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if err = do(); err == nil {
			return
		}
	}
	l.Fatalf("%s: %v", what, err)
}
