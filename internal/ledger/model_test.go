package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const (
	modelLedgers    = 3
	modelPartitions = 2
	modelIDs        = 12 // id k expires k minutes after the first
)

// letter is a chunk that was sent and may arrive at any time, any number of times.
type letter struct {
	to, p int
	epoch uint64
	chunk Chunk
}

// model is what must be so: where each partition is, and what all ledgers together must have kept.
type model struct {
	dir     string
	base    time.Time
	ledgers []*Ledger
	letters []letter

	holder  [modelPartitions]int // -1 while it is on its way
	giver   [modelPartitions]int // who gives it or gave it last, -1 if nobody
	taker   [modelPartitions]int
	epoch   [modelPartitions]uint64            // of the latest handover
	taken   map[[2]uint64]int                  // partition and epoch: who gave it, to a taker that has had it
	refused map[[2]uint64]bool                 // the taker has promised not to take it
	state   [modelPartitions]map[string]int    // what the application has
	done    [modelPartitions]map[string]string // id -> reply
	follow  [modelLedgers][]string             // follow-ups in order
	purged  time.Time                          // the latest time that anything was purged for
}

func newModel(rt *rapid.T) *model {
	dir, err := os.MkdirTemp("", "ledger")
	must(rt, err)
	m := &model{dir: dir, base: time.Now().Add(time.Hour).Truncate(time.Millisecond), taken: map[[2]uint64]int{}, refused: map[[2]uint64]bool{}}
	for i := range modelLedgers {
		m.ledgers = append(m.ledgers, nil)
		m.start(rt, i)
	}
	must(rt, m.ledgers[0].Claim(context.Background(), upTo(modelPartitions), 1))
	for p := range modelPartitions {
		m.state[p], m.done[p], m.giver[p], m.epoch[p] = map[string]int{}, map[string]string{}, -1, 1
	}
	return m
}

func must(rt *rapid.T, err error) {
	if err != nil {
		rt.Fatalf("%v", err)
	}
}

func (m *model) start(rt *rapid.T, i int) {
	l, err := Open(filepath.Join(m.dir, fmt.Sprint(i)), Config{Retention: time.Minute})
	must(rt, err)
	m.ledgers[i] = l
}

func (m *model) close() {
	for _, l := range m.ledgers {
		_ = l.Close()
	}
	_ = os.RemoveAll(m.dir)
}

func ledgerOf(rt *rapid.T) int    { return rapid.IntRange(0, modelLedgers-1).Draw(rt, "ledger") }
func partitionOf(rt *rapid.T) int { return rapid.IntRange(0, modelPartitions-1).Draw(rt, "partition") }

// do makes a call anywhere, whose run fails in one of four cases.
func (m *model) do(rt *rapid.T) {
	i, p := ledgerOf(rt), partitionOf(rt)
	if rapid.Bool().Draw(rt, "at the holder") && m.holder[p] >= 0 {
		i = m.holder[p]
	}
	k := rapid.IntRange(0, modelIDs-1).Draw(rt, "id")
	fails := rapid.IntRange(0, 3).Draw(rt, "fails") == 0
	c := call(uint32(p), fmt.Sprint("id", k))
	c.Expires = m.base.Add(time.Duration(k) * time.Minute)
	failed, ran := errors.New("failed"), false
	got, dup, err := m.ledgers[i].Do(context.Background(), c, func(tx *Tx) ([]byte, error) {
		ran = true
		reply, err := add(fmt.Sprint("x", k%4), k+1)(tx)
		if fails {
			reply, err = nil, failed
		}
		return reply, errors.Join(err, tx.Later(1, []byte(c.ID)))
	})
	reply, known := m.done[p][c.ID]
	switch {
	case m.holder[p] != i:
		expect(rt, errors.Is(err, ErrNotHeld) && !ran, "call of a partition that is elsewhere: %v", err)
	case errors.Is(err, ErrExpired):
		expect(rt, !c.Expires.After(m.purged) && !ran, "%s is refused as expired", c.ID)
	case known:
		expect(rt, err == nil && dup && string(got) == reply && !ran, "%s again: %q %v %v, want %q", c.ID, got, dup, err, reply)
	case fails:
		expect(rt, errors.Is(err, failed) && ran, "%s fails: %v", c.ID, err)
	default:
		name := fmt.Sprint("x", k%4)
		m.state[p][name] += k + 1
		reply = fmt.Sprintf("%s=%d", name, m.state[p][name])
		expect(rt, err == nil && !dup && ran && string(got) == reply, "%s: %q %v %v, want %q", c.ID, got, dup, err, reply)
		m.done[p][c.ID] = reply
		m.follow[i] = append(m.follow[i], fmt.Sprint(p, c.ID))
	}
}

func expect(rt *rapid.T, ok bool, format string, args ...any) {
	rt.Helper()
	if !ok {
		rt.Fatalf(format, args...)
	}
}

func (m *model) give(rt *rapid.T) {
	i, p, to := ledgerOf(rt), partitionOf(rt), ledgerOf(rt)
	if m.holder[p] >= 0 {
		i = m.holder[p]
	}
	if i == to {
		return
	}
	before, _ := m.ledgers[i].Where(uint32(p))
	epoch, err := m.ledgers[i].Give(context.Background(), uint32(p), fmt.Sprint(to))
	switch {
	case m.holder[p] == i:
		expect(rt, err == nil && epoch > m.epoch[p], "give: epoch %d, %v", epoch, err)
		m.holder[p], m.giver[p], m.taker[p], m.epoch[p] = -1, i, to, epoch
	case err == nil:
		expect(rt, before == Holding{State: Giving, Epoch: epoch, To: fmt.Sprint(to)}, "gave what was %v", before)
	default:
		expect(rt, errors.Is(err, ErrNotHeld) || errors.Is(err, ErrGiving), "give: %v", err)
	}
}

// export sends a chunk: the next one, or one from anywhere.
func (m *model) export(rt *rapid.T) {
	p := partitionOf(rt)
	if m.giver[p] < 0 {
		return
	}
	from, to := m.ledgers[m.giver[p]], m.ledgers[m.taker[p]]
	var after []byte
	if epoch, at, ok, err := to.Arrived(uint32(p)); err != nil {
		rt.Fatal(err)
	} else if ok && epoch == m.epoch[p] && rapid.IntRange(0, 4).Draw(rt, "anew") > 0 {
		after = at
	}
	c, err := from.Export(uint32(p), after, rapid.SampledFrom([]int{1, 80, 300, 1 << 20}).Draw(rt, "limit"))
	if err != nil {
		expect(rt, errors.Is(err, ErrNotHeld), "export: %v", err)
		return
	}
	m.letters = append(m.letters, letter{to: m.taker[p], p: p, epoch: m.epoch[p], chunk: c})
	m.arrive(rt, len(m.letters)-1)
}

// arrive has the letter delivered at once in most cases.
func (m *model) arrive(rt *rapid.T, i int) {
	if rapid.IntRange(0, 4).Draw(rt, "lost") > 0 {
		m.deliver(rt, i)
	}
}

func (m *model) deliver(rt *rapid.T, i int) {
	s := m.letters[i]
	key := [2]uint64{uint64(s.p), s.epoch}
	before, _ := m.ledgers[s.to].Where(uint32(s.p))
	err := m.ledgers[s.to].Import(context.Background(), uint32(s.p), s.epoch, s.chunk)
	now, _ := m.ledgers[s.to].Where(uint32(s.p))
	switch {
	case err == nil && before.State == Giving && !s.chunk.Last:
		expect(rt, now == Holding{State: Given, Epoch: before.Epoch, To: before.To} && before.Epoch < s.epoch, "import made %v of %v", now, before)
	case err == nil && now != before:
		expect(rt, now == Holding{State: Held, Epoch: s.epoch}, "import made it %v", now)
		expect(rt, s.chunk.Last && s.epoch == m.epoch[s.p] && m.holder[s.p] == -1 && !m.refused[key], "taken though it is not given")
		m.holder[s.p], m.taken[key] = s.to, m.giver[s.p]
	case m.refused[key]:
		expect(rt, err != nil, "imported what it had refused")
	default:
		expect(rt, now == before, "a failed import made %v of %v", now, before)
		expect(rt, err == nil || errors.Is(err, ErrGap) || errors.Is(err, ErrOldEpoch) || errors.Is(err, ErrRefused), "import: %v", err)
	}
}

func (m *model) again(rt *rapid.T) {
	if len(m.letters) > 0 {
		m.deliver(rt, rapid.IntRange(0, len(m.letters)-1).Draw(rt, "letter"))
	}
}

// given tells a giver that a partition has arrived, now or long ago.
func (m *model) given(rt *rapid.T) {
	key := [2]uint64{uint64(partitionOf(rt)), rapid.Uint64Range(2, 9).Draw(rt, "epoch")}
	giver, ok := m.taken[key]
	if !ok {
		return
	}
	before, _ := m.ledgers[giver].Where(uint32(key[0]))
	err := m.ledgers[giver].Given(context.Background(), uint32(key[0]), key[1])
	if before.State == Giving && before.Epoch == key[1] {
		must(rt, err)
	}
	expect(rt, err == nil || errors.Is(err, ErrOldEpoch), "given: %v", err)
}

func (m *model) refuse(rt *rapid.T) {
	p := partitionOf(rt)
	if m.giver[p] < 0 {
		return
	}
	key := [2]uint64{uint64(p), m.epoch[p]}
	err := m.ledgers[m.taker[p]].Refuse(context.Background(), uint32(p), m.epoch[p])
	if _, ok := m.taken[key]; ok {
		expect(rt, errors.Is(err, ErrHeld), "refused what it has taken: %v", err)
		return
	}
	must(rt, err)
	m.refused[key] = true
}

func (m *model) reclaim(rt *rapid.T) {
	p := partitionOf(rt)
	key := [2]uint64{uint64(p), m.epoch[p]}
	if m.giver[p] < 0 || !m.refused[key] {
		return
	}
	epoch, err := m.ledgers[m.giver[p]].Reclaim(context.Background(), uint32(p), m.epoch[p])
	must(rt, err)
	expect(rt, epoch > m.epoch[p], "reclaimed with epoch %d", epoch)
	m.holder[p], m.giver[p], m.epoch[p] = m.giver[p], -1, epoch
}

func (m *model) reopen(rt *rapid.T) {
	i := ledgerOf(rt)
	must(rt, m.ledgers[i].Close())
	m.start(rt, i)
}

func (m *model) purge(rt *rapid.T) {
	until := m.base.Add(time.Duration(rapid.IntRange(-1, modelIDs/2).Draw(rt, "minutes")) * time.Minute)
	_, err := m.ledgers[ledgerOf(rt)].Purge(context.Background(), until.Add(time.Minute))
	must(rt, err)
	if until.After(m.purged) {
		m.purged = until
	}
}

func (m *model) doneFollow(rt *rapid.T) {
	i := ledgerOf(rt)
	all, err := m.ledgers[i].NextFollow(0, 1)
	must(rt, err)
	if len(all) > 0 {
		must(rt, m.ledgers[i].DoneFollow(context.Background(), all[0].Seq))
		m.follow[i] = m.follow[i][1:]
	}
}

// check holds the ledgers against the model.
func (m *model) check(rt *rapid.T) {
	for p := range modelPartitions {
		for i, l := range m.ledgers {
			if _, ok := l.Holds(uint32(p)); ok != (m.holder[p] == i) {
				rt.Fatalf("partition %d at ledger %d: held %v, but %d holds it", p, i, ok, m.holder[p])
			}
		}
		if m.holder[p] < 0 {
			continue
		}
		got := map[string]int{}
		must(rt, m.ledgers[m.holder[p]].View(uint32(p), func(tx *Tx) error {
			for k, v := range tx.Bucket(accounts).From(nil) {
				got[string(k)] = number(v)
			}
			return nil
		}))
		expect(rt, fmt.Sprint(got) == fmt.Sprint(m.state[p]), "partition %d has %v, want %v", p, got, m.state[p])
	}
	for i, l := range m.ledgers {
		all, err := l.NextFollow(0, 1000)
		must(rt, err)
		var got []string
		for _, f := range all {
			got = append(got, fmt.Sprint(f.Partition, string(f.Data)))
		}
		expect(rt, slices.Equal(got, m.follow[i]), "ledger %d has follow-ups %v, want %v", i, got, m.follow[i])
	}
}

// TestModel has three ledgers hand two partitions to each other, with calls, crashes, lost and late chunks between.
// rapid prints the seed of a failure, and how to repeat it.
func TestModel(t *testing.T) {
	total := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(rt)
		defer m.close()
		defer func() {
			total["taken"] += len(m.taken)
			total["refused"] += len(m.refused)
			total["letters"] += len(m.letters)
			total["calls"] += len(m.done[0]) + len(m.done[1])
		}()
		rt.Repeat(map[string]func(*rapid.T){
			"do": m.do, "do more": m.do, "give": m.give, "export": m.export, "export more": m.export, "again": m.again,
			"given": m.given, "refuse": m.refuse, "reclaim": m.reclaim, "reopen": m.reopen, "purge": m.purge,
			"follow": m.doneFollow, "": m.check,
		})
	})
	t.Log(total)
	for _, what := range []string{"taken", "refused", "letters", "calls"} {
		if total[what] == 0 {
			t.Errorf("no %s in all runs: the test has lost its object", what)
		}
	}
}
