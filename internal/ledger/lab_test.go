package ledger

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// childEnv makes the test binary a child that is to be killed: see crash_test.go.
const childEnv = "LEDGER_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		os.Exit(child(path))
	}
	goleak.VerifyTestMain(m)
}

// open opens a ledger that the test closes at its end, if it is still open.
func open(t testing.TB, path string, cfg Config) *Ledger {
	t.Helper()
	l, err := Open(path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// fresh opens a new ledger that holds partitions 0 to n-1 with epoch 1.
func fresh(t testing.TB, n int, cfg Config) *Ledger {
	t.Helper()
	l := open(t, filepath.Join(t.TempDir(), "ledger"), cfg)
	check(t, l.Claim(t.Context(), upTo(n), 1))
	return l
}

func reopen(t testing.TB, l *Ledger) *Ledger {
	t.Helper()
	check(t, l.Close())
	return open(t, l.path, l.cfg)
}

func upTo(n int) []uint32 {
	out := make([]uint32, n)
	for i := range out {
		out[i] = uint32(i)
	}
	return out
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func same[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

// call is one whose hash is of the id.
func call(p uint32, id string) Call {
	return Call{Partition: p, ID: id, Hash: md5.Sum([]byte(id)), Expires: time.Now().Add(time.Hour)}
}

var accounts = []byte("accounts")

// add adds to a counter of the application and replies with its name and what it has become.
func add(name string, n int) func(*Tx) ([]byte, error) {
	return func(tx *Tx) ([]byte, error) {
		b := tx.Bucket(accounts)
		now := number(b.Get([]byte(name))) + n
		err := b.Put([]byte(name), fmt.Append(nil, now))
		return fmt.Appendf(nil, "%s=%d", name, now), err
	}
}

func number(b []byte) int {
	n := 0
	_, _ = fmt.Sscan(string(b), &n)
	return n
}

// do makes a call that must succeed.
func do(t testing.TB, l *Ledger, c Call, run func(*Tx) ([]byte, error)) (reply string, dup bool) {
	t.Helper()
	b, dup, err := l.Do(context.Background(), c, run)
	check(t, err)
	return string(b), dup
}

// state writes the application's state of a partition as text.
func state(t testing.TB, l *Ledger, p uint32) string {
	t.Helper()
	var out []string
	check(t, l.View(p, func(tx *Tx) error {
		for k, v := range tx.Bucket(accounts).From(nil) {
			out = append(out, fmt.Sprintf("%s=%s", k, v))
		}
		return nil
	}))
	return strings.Join(out, " ")
}
