package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
)

// actAsProgram makes the test binary the program itself, for dev to start.
const actAsProgram = "ACT_AS_MESHNODE"

func TestMain(m *testing.M) {
	if os.Getenv(actAsProgram) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// result is what one run of the program gave.
type result struct {
	status      int
	out, errOut string
}

// program runs the program in this process.
func program(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	status := run(t.Context(), args, strings.NewReader(stdin), &out, &errOut)
	return result{status, out.String(), errOut.String()}
}

// succeeds is program for what must end well; it gives the output.
func succeeds(t *testing.T, args ...string) string {
	t.Helper()
	r := program(t, "", args...)
	if r.status != exitOK {
		t.Fatalf("%q ended with %d\n%s%s", args, r.status, r.out, r.errOut)
	}
	return r.out
}

// decoded reads JSON that a command printed.
func decoded[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return v
}

// cluster starts so many nodes, n1, n2 and so on, that know each other.
func cluster(t *testing.T, size int) []*node.Node {
	t.Helper()
	nodes := make([]*node.Node, size)
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range nodes {
		cfg := node.Config{Name: fmt.Sprintf("n%d", i+1), Profile: membership.Local, Expect: size, Zone: "z"}
		if i > 0 {
			waitFor(t, func() bool { return nodes[0].Addr().IsValid() })
			cfg.Seeds = []string{nodes[0].Addr().String()}
		}
		n, err := node.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		nodes[i] = n
		t.Cleanup(n.Close)
		wg.Go(func() {
			if err := n.Start(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, n := range nodes {
		waitFor(t, func() bool { return n.Table().Len() == size })
	}
	return nodes
}

// waitFor waits until a condition holds.
func waitFor(t *testing.T, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	late := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-ticker.C:
		case <-late:
			t.Fatal("waited 30 s for a condition in vain")
		}
	}
}

// syncBuffer is a buffer that one goroutine may read while another writes.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// background is a run of the program that goes on until stop, or by itself.
type background struct {
	stop        context.CancelFunc
	ended       chan int
	out, errOut syncBuffer
}

// start runs the program in the background of the test.
func start(t *testing.T, args ...string) *background {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	b := &background{stop: cancel, ended: make(chan int, 1)}
	go func() { b.ended <- run(ctx, args, bytes.NewReader(nil), &b.out, &b.errOut) }()
	t.Cleanup(cancel)
	return b
}

// status waits for the end.
func (b *background) status(t *testing.T) int {
	t.Helper()
	select {
	case status := <-b.ended:
		return status
	case <-time.After(60 * time.Second):
		t.Fatalf("did not end within a minute\n%s%s", b.out.String(), b.errOut.String())
		return -1
	}
}

// failing is a writer that cannot write.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
