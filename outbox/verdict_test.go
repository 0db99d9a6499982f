package outbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

// The table of verdicts in docs/durable-calls.md is what Judge says, for each code.
func TestVerdictsDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/durable-calls.md")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| ((?:`\\w+`(?:, )?)+|[a-z ]+) \\| ([^|]+) \\| [^|]+ \\|$").FindAllStringSubmatch(string(text), -1) {
		for _, name := range strings.Split(row[1], ", ") {
			said[strings.Trim(name, "`")] = row[2]
		}
	}
	for _, c := range rpc.Codes() {
		if c == rpc.OK {
			continue
		}
		if got := Judge(rpc.Errorf(c, "x")).String(); said[c.String()] != got {
			t.Errorf("%s: %s, and the document says %q", c, got, said[c.String()])
		}
	}
	if got := Judge(rpc.Errorf(99, "x")).String(); said["a code that this version does not know"] != got {
		t.Errorf("a newer code: %s, and the document says %q", got, said["a code that this version does not know"])
	}
	if got := Judge(rpc.Errorf(rpc.Internal, "x").After(rpc.NeverRetry)).String(); said["any code that says never to retry"] != got {
		t.Errorf("NeverRetry: %s; %v", got, said)
	}
}

// A call that its owner refuses as nobody serves it is a dead letter in the end, with
// the reason, and those behind it are made.
func TestRefusedForLong(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cfg.GiveUpAfter = 100 * time.Millisecond
	a := l.start("a")
	at := time.Now()
	poison, err := typo.Enqueue(l.within(), a.box, &add{N: 1}, rpc.Key("k"))
	if err != nil {
		t.Fatal(err)
	}
	after := a.enqueue("k", &add{N: 1})
	if _, err := a.await(poison); !errors.Is(err, rpc.Unimplemented) || !strings.Contains(err.Error(), "lab.Ad") {
		t.Errorf("%v", err)
	}
	if took := time.Since(at); took < l.cfg.GiveUpAfter {
		t.Errorf("given up after %v", took)
	}
	if s, err := a.await(after); err != nil || *s != (sum{1, 1}) {
		t.Errorf("%+v, %v", s, err)
	}
}

// What the owner refuses only for a while is made: it may be upgraded.
func TestRefusedForAWhile(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	poison := a.poison("k")
	a.crash()
	l.serve = func(m *machine) { Handle(m.box, m.n, typo, m.add) }
	a = l.start("a")
	if s, err := a.await(poison); err != nil || *s != (sum{1, 1}) {
		t.Errorf("%+v, %v", s, err)
	}
}

// The application judges errors. Code of its own that does not return, there or in a
// client interceptor, makes the attempt one that failed, and no more: the same worker's
// next calls are made.
func TestJudge(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cfg.Concurrency = 1
	l.cfg.Judge = func(err *rpc.Error) Verdict {
		switch err.Code {
		case rpc.NotFound:
			panic("on purpose")
		case rpc.AlreadyExists:
			runtime.Goexit()
		case rpc.Internal:
			return GiveUp
		}
		return TryAgain
	}
	l.node = func(cfg *node.Config) {
		cfg.Client = append(cfg.Client, func(ctx context.Context, call *rpc.Call, next rpc.Invoker) error {
			switch call.Metadata["how"] {
			case "panic":
				panic("on purpose")
			case "exit":
				runtime.Goexit()
			}
			return next(ctx, call)
		})
	}
	a := l.start("a")
	if _, err := a.await(a.enqueue("k", &add{N: 1, Fail: "Internal"})); !errors.Is(err, rpc.Internal) {
		t.Errorf("%v", err)
	}
	waits := []string{
		a.enqueue("1", &add{N: 1, Fail: "NotFound"}),
		a.enqueue("2", &add{N: 1, Fail: "AlreadyExists"}),
		a.enqueue("3", &add{N: 1}, rpc.WithMetadata("how", "exit")),
		a.enqueue("4", &add{N: 1, Fail: "Unavailable"}),
	}
	for _, id := range waits {
		l.until("it was tried twice", func() error {
			if letter := a.show(id); letter.Attempts < 2 || letter.State != "pending" || letter.Reason == "" {
				return fmt.Errorf("%+v", letter)
			}
			return nil
		})
	}
	if _, err := a.await(a.enqueue("5", &add{N: 1}, rpc.WithMetadata("how", "panic"))); !errors.Is(err, rpc.Internal) {
		t.Errorf("%v", err)
	}
	if _, err := a.await(a.enqueue("6", &add{N: 1})); err != nil {
		t.Error(err)
	}
}

// What can never be delivered is refused when it is enqueued, also by a handler.
func TestUnfit(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	refused := make(chan error, 5)
	l.serve = func(m *machine) {
		Handle(m.box, m.n, typo, func(ctx context.Context, tx *Tx, _ *add) (*sum, error) {
			for _, c := range unfit() {
				_, err := tx.Add(ctx, c)
				refused <- err
			}
			return nil, nil
		})
	}
	a := l.start("a")
	for _, c := range unfit() {
		if _, err := a.box.Add(t.Context(), c); !errors.Is(err, rpc.InvalidArgument) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := typo.Call(l.within(), a.n, &add{}, rpc.Key("k")); err != nil {
		t.Fatal(err)
	}
	for _, c := range unfit() {
		if err := <-refused; !errors.Is(err, rpc.InvalidArgument) {
			t.Errorf("by a handler: %+v: %v", c, err)
		}
	}
}

func unfit() []rpc.DurableCall {
	return []rpc.DurableCall{
		{Method: "a b", Key: "k"},
		{Method: "lab.Add"},
		{Method: "lab.Add", Key: "k", ID: strings.Repeat("x", rpc.MaxID+1)},
		{Method: "lab.Add", Key: "k", Metadata: rpc.Metadata{"k": strings.Repeat("x", maxMetadata)}},
		{Method: "lab.Add", Key: "k", Metadata: rpc.Metadata{headerKey: "x"}},
	}
}
