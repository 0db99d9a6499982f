package outbox

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

type (
	step struct {
		Key string
		I   uint64
	}
	steps struct {
		Next  uint64
		Wrong []string
	}
)

var (
	stepMethod  = rpc.NewMethod[step, steps]("lab.Step")
	stepsMethod = rpc.NewMethod[string, steps]("lab.Steps", rpc.Idempotent())
)

// takeStep counts the steps of a key, and notes each that is not the next one.
func takeStep(_ context.Context, tx *Tx, req *step) (*steps, error) {
	s := stepsOf(tx, req.Key)
	if s.Next != req.I {
		wrong := fmt.Sprintf("step %d of %s where %d is next", req.I, req.Key, s.Next)
		if err := tx.Bucket("wrong").Put(fmt.Append(nil, req.Key, "/", req.I, "/", s.Next), []byte(wrong)); err != nil {
			return nil, err
		}
	}
	return s, tx.Bucket("steps").Put([]byte(req.Key), binary.LittleEndian.AppendUint64(nil, req.I+1))
}

func stepsOf(tx *Tx, key string) *steps {
	s := &steps{}
	if v := tx.Bucket("steps").Get([]byte(key)); v != nil {
		s.Next = binary.LittleEndian.Uint64(v)
	}
	for _, wrong := range tx.Bucket("wrong").From(nil) {
		s.Wrong = append(s.Wrong, string(wrong))
	}
	return s
}

// Calls of one key are executed in the order of their taking, each once, though nodes
// end without word at random and are started again.
func TestOrderOverCrashes(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	l := newLab(t)
	l.cfg.Checkpoint = 4 << 10
	l.serve = func(m *machine) {
		Handle(m.box, m.n, stepMethod, takeStep)
		Handle(m.box, m.n, stepsMethod, func(_ context.Context, tx *Tx, key *string) (*steps, error) { return stepsOf(tx, *key), nil })
	}
	names := []string{"a", "b", "c"}
	for _, name := range names {
		l.start(name)
	}
	l.settled(l.nodes["a"], l.nodes["b"], l.nodes["c"])
	const keys, each, crashes = 12, 60, 6
	var using sync.RWMutex // machines are not ended while they are asked
	var all sync.WaitGroup
	for k := range keys {
		all.Go(func() {
			m := l.nodes[names[k%3]]
			for i := range uint64(each) {
				l.until("a step is taken", func() error {
					using.RLock()
					defer using.RUnlock()
					_, err := stepMethod.Enqueue(l.within(), m.box, &step{fmt.Sprint("key", k), i}, rpc.Key(fmt.Sprint("key", k)), rpc.ID(fmt.Sprintf("%d-%d", k, i)))
					return err
				})
			}
		})
	}
	for range crashes {
		name := names[rnd.IntN(3)]
		using.Lock()
		l.nodes[name].crash()
		l.start(name)
		using.Unlock()
	}
	all.Wait()
	for k := range keys {
		if _, err := stepMethod.Await(l.within(), l.nodes[names[k%3]].box, fmt.Sprintf("%d-%d", k, each-1)); err != nil {
			t.Errorf("the last step of key%d: %v", k, err)
		}
	}
	for k := range keys {
		key := fmt.Sprint("key", k)
		l.until("the steps of "+key, func() error {
			s, err := stepsMethod.Call(l.within(), l.nodes["a"].n, &key, rpc.Key(key), rpc.Timeout(time.Second))
			if err == nil && (s.Next != each || len(s.Wrong) > 0) {
				t.Errorf("%s: %+v", key, s)
			}
			return err
		})
	}
}
