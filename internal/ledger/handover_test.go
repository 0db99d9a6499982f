package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// carry moves a partition in chunks of about limit bytes.
func carry(t testing.TB, from, to *Ledger, p uint32, epoch uint64, limit int) {
	t.Helper()
	for after := []byte(nil); ; {
		c, err := from.Export(p, after, limit)
		check(t, err)
		check(t, to.Import(t.Context(), p, epoch, c))
		if c.Last {
			return
		}
		after = c.Next
	}
}

func TestHandover(t *testing.T) {
	for _, limit := range []int{1, 100, 5000, 1 << 20} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			a := fresh(t, 2, Config{})
			b := open(t, filepath.Join(t.TempDir(), "b"), Config{})
			for i := range 100 {
				do(t, a, call(1, fmt.Sprint("id", i)), add(fmt.Sprint("x", i%10), 1))
			}
			before := state(t, a, 1)
			epoch, err := a.Give(t.Context(), 1, "b")
			check(t, err)
			same(t, "epoch", epoch, 2)
			_, _, err = a.Do(t.Context(), call(1, "late"), add("x0", 1))
			wantErr(t, err, ErrNotHeld)
			wantErr(t, a.View(1, func(*Tx) error { return nil }), ErrNotHeld)
			carry(t, a, b, 1, epoch, limit)
			check(t, a.Given(t.Context(), 1, epoch))
			a, b = reopen(t, a), reopen(t, b)
			check(t, a.read(func(tx *txn) error {
				same(t, "something is left of it", tx.part(1, false).bucket != nil, false)
				return nil
			}))

			h, _ := a.Where(1)
			same(t, "giver", h, Holding{State: Given, Epoch: 2, To: "b"})
			h, _ = b.Where(1)
			same(t, "taker", h, Holding{State: Held, Epoch: 2})
			same(t, "state", state(t, b, 1), before)
			for i := range 100 {
				reply, dup := do(t, b, call(1, fmt.Sprint("id", i)), add("x0", 1))
				same(t, "reply", reply, fmt.Sprintf("x%d=%d", i%10, i/10+1))
				same(t, "dup", dup, true)
			}
			var not *NotHeldError
			_, _, err = a.Do(t.Context(), call(1, "late"), add("x0", 1))
			wantErr(t, err, ErrNotHeld)
			if !errors.As(err, &not) || not.To != "b" || not.State != Given {
				t.Errorf("no hint in %v", err)
			}
			_, err = a.Export(1, nil, 100)
			wantErr(t, err, ErrNotHeld)

			epoch, err = b.Give(t.Context(), 1, "a") // and back, over the memory of having given it
			check(t, err)
			carry(t, b, a, 1, epoch, limit)
			check(t, b.Given(t.Context(), 1, epoch))
			same(t, "state", state(t, a, 1), before)
			same(t, "the other partition", state(t, a, 0), "")
		})
	}
}

// TestStepsAgain repeats each step, and tries those that don't fit.
func TestStepsAgain(t *testing.T) {
	ctx := t.Context()
	a := fresh(t, 1, Config{})
	b := open(t, filepath.Join(t.TempDir(), "b"), Config{})
	do(t, a, call(0, "id"), add("x", 1))

	_, err := a.Give(ctx, 0, "")
	wantErr(t, err, ErrNotHeld)
	_, err = a.Give(ctx, 7, "b")
	wantErr(t, err, ErrNotHeld)
	for range 2 {
		epoch, err := a.Give(ctx, 0, "b")
		check(t, err)
		same(t, "epoch", epoch, 2)
	}
	_, err = a.Give(ctx, 0, "c")
	wantErr(t, err, ErrGiving)
	wantErr(t, a.Claim(ctx, []uint32{0}, 9), ErrHeld)
	wantErr(t, a.Given(ctx, 0, 1), ErrOldEpoch)
	wantErr(t, a.Refuse(ctx, 0, 2), ErrHeld)
	_, err = a.Reclaim(ctx, 0, 1)
	wantErr(t, err, ErrOldEpoch)

	// The other one refuses; what is under way then comes too late.
	first, err := a.Export(0, nil, 1)
	check(t, err)
	check(t, b.Import(ctx, 0, 2, first))
	for range 2 {
		check(t, b.Refuse(ctx, 0, 2))
	}
	wantErr(t, b.Import(ctx, 0, 2, first), ErrRefused)
	if _, _, ok, err := b.Arrived(0); ok || err != nil {
		t.Errorf("something is left of it, %v", err)
	}
	for range 2 {
		epoch, err := a.Reclaim(ctx, 0, 2)
		check(t, err)
		same(t, "epoch", epoch, 3)
	}
	wantErr(t, a.Given(ctx, 0, 2), ErrOldEpoch)
	same(t, "state", state(t, a, 0), "x=1")

	// Another try, with a later epoch.
	epoch, err := a.Give(ctx, 0, "b")
	check(t, err)
	same(t, "epoch", epoch, 4)
	wantErr(t, b.Import(ctx, 0, 2, first), ErrRefused)
	for range 2 {
		carry(t, a, b, 0, epoch, 1)
	}
	wantErr(t, b.Refuse(ctx, 0, 4), ErrHeld)
	wantErr(t, b.Import(ctx, 0, 3, first), ErrOldEpoch)
	wantErr(t, b.Import(ctx, 0, 5, first), ErrHeld)
	for range 2 {
		check(t, a.Given(ctx, 0, 4))
	}
	wantErr(t, a.Claim(ctx, []uint32{0}, 4), ErrOldEpoch)
	check(t, a.Refuse(ctx, 0, 5))
	same(t, "state", state(t, b, 0), "x=1")
}

// TestBackEarly has a partition come back before its first giver learns that it had arrived.
func TestBackEarly(t *testing.T) {
	ctx := t.Context()
	for _, refuses := range []bool{false, true} {
		a := fresh(t, 1, Config{})
		b := open(t, filepath.Join(t.TempDir(), "b"), Config{})
		do(t, a, call(0, "id"), add("x", 1))
		do(t, a, call(0, "id2"), add("z", 1))
		_, err := a.Give(ctx, 0, "b")
		check(t, err)
		carry(t, a, b, 0, 2, 1)
		do(t, b, call(0, "id3"), add("y", 1))
		_, err = b.Give(ctx, 0, "a")
		check(t, err)
		if refuses {
			check(t, a.Refuse(ctx, 0, 3))
			_, err := b.Reclaim(ctx, 0, 3)
			check(t, err)
			same(t, "state", state(t, b, 0), "x=1 y=1 z=1")
			wantErr(t, a.Given(ctx, 0, 2), ErrOldEpoch)
			continue
		}
		first, err := b.Export(0, nil, 1)
		check(t, err)
		second, err := b.Export(0, first.Next, 1)
		check(t, err)
		wantErr(t, a.Import(ctx, 0, 3, second), ErrGap)
		check(t, a.Import(ctx, 0, 3, first))
		h, _ := a.Where(0)
		same(t, "while it arrives", h, Holding{State: Given, Epoch: 2, To: "b"})
		check(t, a.Given(ctx, 0, 2)) // the late answer does no harm
		carry(t, b, a, 0, 3, 1)
		same(t, "state", state(t, a, 0), "x=1 y=1 z=1")
		wantErr(t, a.Given(ctx, 0, 2), ErrOldEpoch)
	}
}

// TestYield has a node come back whose partition was claimed by another one.
func TestYield(t *testing.T) {
	ctx := t.Context()
	a := fresh(t, 2, Config{})
	do(t, a, call(0, "id"), add("x", 1))
	wantErr(t, a.Yield(ctx, 0, 1, "b"), ErrOldEpoch)
	_, err := a.Give(ctx, 1, "c")
	check(t, err)
	for p := range uint32(2) {
		for range 2 {
			check(t, a.Yield(ctx, p, 7, "b"))
		}
		wantErr(t, a.Yield(ctx, p, 6, "b"), ErrOldEpoch)
		h, _ := a.Where(p)
		same(t, "holding", h, Holding{State: Given, Epoch: 7, To: "b"})
	}
	check(t, a.Import(ctx, 0, 8, Chunk{Last: true}))
	same(t, "state", state(t, a, 0), "")
}

// TestClaim claims partitions all or none.
func TestClaim(t *testing.T) {
	ctx := t.Context()
	l := fresh(t, 3, Config{})
	check(t, l.Claim(ctx, upTo(5), 1)) // some of them again
	wantErr(t, l.Claim(ctx, []uint32{9, 0, 10}, 2), ErrHeld)
	wantErr(t, l.Claim(ctx, []uint32{9}, 0), ErrOldEpoch)
	for range 2 {
		same(t, "held", fmt.Sprint(l.Held(Held)), "[0 1 2 3 4]")
		same(t, "given", fmt.Sprint(l.Held(Given)), "[]")
		epoch, ok := l.Holds(4)
		same(t, "holds 4", ok, true)
		same(t, "epoch", epoch, 1)
		_, ok = l.Holds(9)
		same(t, "holds 9", ok, false)
		l = reopen(t, l)
	}
	// A forced claim of what had begun to arrive starts without it.
	check(t, l.Import(ctx, 9, 4, Chunk{Next: []byte("a\x08accountsk"), Pairs: []Pair{{Key: []byte("a\x08accountsk"), Value: []byte("v")}}}))
	check(t, l.Claim(ctx, []uint32{9}, 7))
	same(t, "state", state(t, l, 9), "")
}

// TestChunks has chunks arrive twice, out of order, from another division, and with nonsense in them.
func TestChunks(t *testing.T) {
	ctx := t.Context()
	a := fresh(t, 1, Config{})
	b := open(t, filepath.Join(t.TempDir(), "b"), Config{})
	for i := range 30 {
		do(t, a, call(0, fmt.Sprint("id", i)), add(fmt.Sprint("x", i), i))
	}
	before := state(t, a, 0)
	epoch, err := a.Give(ctx, 0, "b")
	check(t, err)
	var chunks []Chunk
	for after := []byte(nil); len(chunks) == 0 || !chunks[len(chunks)-1].Last; after = chunks[len(chunks)-1].Next {
		c, err := a.Export(0, after, 200)
		check(t, err)
		chunks = append(chunks, c)
	}
	if len(chunks) < 5 {
		t.Fatalf("%d chunks", len(chunks))
	}
	wantErr(t, b.Import(ctx, 0, epoch, chunks[1]), ErrGap)
	check(t, b.Import(ctx, 0, epoch, chunks[0]))
	wantErr(t, b.Import(ctx, 0, epoch, chunks[2]), ErrGap)
	check(t, b.Import(ctx, 0, epoch, chunks[1]))
	check(t, b.Import(ctx, 0, epoch, chunks[0]))
	wantErr(t, b.Import(ctx, 0, epoch, chunks[len(chunks)-1]), ErrGap)
	wantErr(t, b.Import(ctx, 0, epoch+1, chunks[2]), ErrGap)
	_, ok := b.Holds(0)
	same(t, "held early", ok, false)
	b = reopen(t, b)
	at, next, ok, err := b.Arrived(0)
	if at != epoch || !bytes.Equal(next, chunks[1].Next) || !ok || err != nil {
		t.Fatalf("arrived: %d %q %v %v", at, next, ok, err)
	}
	c, err := a.Export(0, chunks[0].After, 250) // ends elsewhere
	check(t, err)
	c2, err := a.Export(0, c.Next, 250)
	check(t, err)
	check(t, b.Import(ctx, 0, epoch, c))
	check(t, b.Import(ctx, 0, epoch, c2))
	whole, err := a.Export(0, nil, 1<<20) // from the start, by a taker that does not know how far it was
	check(t, err)
	check(t, b.Import(ctx, 0, epoch, whole))
	for _, c := range chunks[2:] {
		check(t, b.Import(ctx, 0, epoch, c))
	}
	same(t, "state", state(t, b, 0), before)

	value := encodeDone(done{expires: 1})
	for name, c := range map[string]Chunk{
		"empty":        {},
		"wrong end":    {Next: []byte("z"), Pairs: []Pair{{[]byte("a\x01bk"), nil}}},
		"out of order": {Next: []byte("a\x01bj"), Pairs: []Pair{{[]byte("a\x01bk"), nil}, {[]byte("a\x01bj"), nil}}},
		"twice":        {Next: []byte("a\x01bk"), Pairs: []Pair{{[]byte("a\x01bk"), nil}, {[]byte("a\x01bk"), nil}}},
		"no name":      {Next: []byte("a\x00k"), Pairs: []Pair{{[]byte("a\x00k"), nil}}},
		"short key":    {Next: []byte("a\x02bk"), Pairs: []Pair{{[]byte("a\x02bk"), nil}}},
		"no id":        {Next: []byte("d"), Pairs: []Pair{{[]byte("d"), value}}},
		"short":        {Next: []byte("did"), Pairs: []Pair{{[]byte("did"), value[:23]}}},
		"horizon":      {Next: []byte("h"), Pairs: []Pair{{[]byte("h"), []byte("7 bytes")}}},
		"unknown kind": {Next: []byte("q"), Pairs: []Pair{{[]byte("q"), nil}}, Last: true},
		"long key":     {Next: append([]byte("a\x01b"), make([]byte, MaxKey+MaxName)...), Pairs: []Pair{{append([]byte("a\x01b"), make([]byte, MaxKey+MaxName)...), nil}}},
	} {
		if err := b.Import(ctx, 5, 1, c); !errors.Is(err, ErrBadChunk) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNewerStage has a second handover begin anew what a first one left.
func TestNewerStage(t *testing.T) {
	ctx := t.Context()
	b := open(t, filepath.Join(t.TempDir(), "b"), Config{})
	pair := func(key string) []Pair { return []Pair{{Key: []byte("a\x08accounts" + key), Value: []byte("1")}} }
	chunk := func(key string, last bool) Chunk {
		return Chunk{Next: pair(key)[0].Key, Pairs: pair(key), Last: last}
	}
	check(t, b.Import(ctx, 0, 4, chunk("old", false)))
	check(t, b.Import(ctx, 0, 6, chunk("new", false)))
	wantErr(t, b.Import(ctx, 0, 4, chunk("old", false)), ErrOldEpoch)
	check(t, b.Import(ctx, 0, 8, chunk("newest", true)))
	same(t, "state", state(t, b, 0), "newest=1")
}

// TestPurge forgets outcomes, and refuses the calls that they were of, here and where the partition goes.
func TestPurge(t *testing.T) {
	ctx := t.Context()
	l := fresh(t, 600, Config{Retention: time.Minute})
	soon, late := time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	expiring := func(p uint32, id string, at time.Time) Call {
		c := call(p, id)
		c.Expires = at
		return c
	}
	for i := range 500 {
		do(t, l, expiring(uint32(i), "soon", soon), add("x", 1))
	}
	for i := range 20 {
		do(t, l, expiring(0, fmt.Sprint("late", i), late), add("x", 1))
	}
	n, err := l.Purge(ctx, soon.Add(time.Minute-time.Millisecond))
	check(t, err)
	same(t, "purged early", n, 0)
	n, err = l.Purge(ctx, soon.Add(time.Minute))
	check(t, err)
	same(t, "purged", n, 500)
	same(t, "counted", l.Stats().Purged, 500)
	_, dup := do(t, l, expiring(0, "late3", late), add("x", 1))
	same(t, "the others are there", dup, true)

	// The first one in order of ids is the last one to expire; then the horizon is at that.
	do(t, l, expiring(599, "a", soon), add("x", 1))
	do(t, l, expiring(599, "b", soon.Add(-time.Minute)), add("x", 1))
	n, err = l.Purge(ctx, soon.Add(time.Minute))
	check(t, err)
	same(t, "purged", n, 2)
	_, _, err = l.Do(ctx, expiring(599, "a", soon), add("x", 1))
	wantErr(t, err, ErrExpired)

	// The clock says that the call may be executed, the horizon knows better.
	_, _, err = l.Do(ctx, expiring(0, "soon", soon), add("x", 1))
	wantErr(t, err, ErrExpired)
	_, _, err = l.Do(ctx, expiring(0, "new", soon), add("x", 1))
	wantErr(t, err, ErrExpired)
	b := open(t, filepath.Join(t.TempDir(), "b"), Config{Retention: time.Minute})
	epoch, err := l.Give(ctx, 0, "b")
	check(t, err)
	carry(t, l, b, 0, epoch, 100)
	_, _, err = b.Do(ctx, expiring(0, "soon", soon), add("x", 1))
	wantErr(t, err, ErrExpired)
	n, err = b.Purge(ctx, late.Add(time.Minute))
	check(t, err)
	same(t, "purged after the move", n, 20)
	same(t, "state", state(t, b, 0), "x=21")
	n, err = b.Purge(ctx, late.Add(time.Minute))
	check(t, err)
	same(t, "purged again", n, 0)
}

func TestFollowUps(t *testing.T) {
	ctx := t.Context()
	l := fresh(t, 3, Config{})
	select {
	case <-l.Follow():
		t.Error("a token without follow-ups")
	default:
	}
	for i := range 10 {
		do(t, l, call(uint32(i%3), fmt.Sprint(i)), func(tx *Tx) ([]byte, error) {
			data := fmt.Append(nil, "data", i)
			defer clear(data)
			return nil, tx.Later(uint8(i), data)
		})
	}
	<-l.Follow()
	l = reopen(t, l)
	<-l.Follow()
	all, err := l.NextFollow(0, 100)
	check(t, err)
	same(t, "follow-ups", len(all), 10)
	for i, f := range all {
		same(t, "follow-up", fmt.Sprintf("%d %d %d %s", f.Seq, f.Partition, f.Kind, f.Data), fmt.Sprintf("%d %d %d data%d", i+1, i%3, i, i))
	}
	some, err := l.NextFollow(4, 3)
	check(t, err)
	same(t, "from 5", fmt.Sprint(some[0].Seq, some[1].Seq, some[2].Seq), "5 6 7")
	for _, f := range all {
		check(t, l.DoneFollow(ctx, f.Seq, 1))
	}
	l = reopen(t, l)
	select {
	case <-l.Follow():
		t.Error("a token without follow-ups")
	default:
	}
	do(t, l, call(0, "again"), func(tx *Tx) ([]byte, error) { return nil, tx.Later(1, nil) })
	all, err = l.NextFollow(0, 100)
	check(t, err)
	same(t, "numbers go on", all[0].Seq, 11)
}
