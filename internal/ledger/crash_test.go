package ledger

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const (
	childCallers    = 16
	childPartitions = 8
)

// child is the process that TestKill kills: callers that make calls without end, and write each that is acknowledged
// to standard output. One in ten calls fails after it has written. Ids go on where the parent says.
func child(path string) int {
	l, err := Open(path, Config{})
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	if err := l.Claim(context.Background(), upTo(childPartitions), 1); err != nil {
		fmt.Println("error", err)
		return 1
	}
	var wg sync.WaitGroup
	round := os.Getenv(childEnv + "_ROUND")
	failed := errors.New("failed")
	for i := range childCallers {
		wg.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("%s-%d-%d", round, i, n)
				_, _, err := l.Do(context.Background(), call(uint32(i%childPartitions), id), func(tx *Tx) ([]byte, error) {
					reply, err := add("sum", 1)(tx)
					err = errors.Join(err, tx.Bucket([]byte("calls")).Put([]byte(id), reply), tx.Later(1, []byte(id)))
					if n%10 == 9 {
						err = failed
					}
					return reply, err
				})
				switch {
				case err == nil:
					_, _ = os.Stdout.WriteString("done " + id + "\n") // one write, so that lines stay whole
				case n%10 != 9 || !errors.Is(err, failed):
					fmt.Println("error", err)
				}
			}
		})
	}
	wg.Wait()
	return 0
}

// TestKill kills a process under load, some times over, and looks at what it leaves: everything acknowledged is there
// once, with its outcome and its follow-up, and nothing that failed.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	done := map[string]uint32{}
	for round := range 5 {
		acknowledged := kill(t, path, round, 300+round*200)
		for _, id := range acknowledged {
			var caller int
			_, err := fmt.Sscanf(id, fmt.Sprintf("%d-%%d-", round), &caller)
			check(t, err)
			done[id] = uint32(caller % childPartitions)
		}
		l := open(t, path, Config{})
		after(t, l, done)
		check(t, l.Close())
	}
	t.Logf("%d calls acknowledged", len(done))
}

// kill starts a child, kills it once it has acknowledged n calls, and returns those that it did until it was dead.
func kill(t *testing.T, path string, round, n int) (done []string) {
	t.Helper()
	exe, err := os.Executable()
	check(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+path, fmt.Sprintf("%s_ROUND=%d", childEnv, round))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	timer := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var id string
		if k, _ := fmt.Sscanf(lines.Text(), "done %s", &id); k != 1 {
			t.Errorf("the child says %q", lines.Text())
			continue
		}
		if done = append(done, id); len(done) == n {
			check(t, cmd.Process.Kill())
		}
	}
	_ = cmd.Wait()
	if len(done) < n {
		t.Fatalf("the child ended after %d calls", len(done))
	}
	return done
}

// after checks the state that a child has left. done has what was acknowledged so far, and where.
func after(t *testing.T, l *Ledger, done map[string]uint32) {
	t.Helper()
	follow, err := l.NextFollow(0, 1<<30)
	check(t, err)
	later := map[string]int{}
	for _, f := range follow {
		later[string(f.Data)]++
	}
	total := 0
	for p := range uint32(childPartitions) {
		calls, sum := map[string]string{}, 0
		check(t, l.View(p, func(tx *Tx) error {
			for k, v := range tx.Bucket([]byte("calls")).From(nil) {
				calls[string(k)] = string(v)
			}
			sum = number(tx.Bucket(accounts).Get([]byte("sum")))
			return nil
		}))
		same(t, "effects and their sum", len(calls), sum)
		for id := range calls {
			same(t, "follow-ups of "+id, later[id], 1)
		}
		total += len(calls)
		for id, at := range done {
			if at != p {
				continue
			}
			reply, dup := do(t, l, call(p, id), add("sum", 1))
			if !dup || reply != calls[id] {
				t.Fatalf("%s was acknowledged: dup %v, reply %q, effect %q", id, dup, reply, calls[id])
			}
		}
	}
	same(t, "follow-ups and effects", len(follow), total)
	// At most one call of each caller was under way in each round that ended.
	if total < len(done) || total > len(done)+childCallers*5 {
		t.Fatalf("%d effects, %d acknowledged", total, len(done))
	}
}

// TestInUse opens a file that another process, and then this one, has open.
func TestInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	exe, err := os.Executable()
	check(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+path, childEnv+"_ROUND=0")
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	first := bufio.NewScanner(out)
	same(t, "the child has begun", first.Scan(), true)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for first.Scan() {
			_ = first.Text()
		}
	}()
	_, err = Open(path, Config{})
	if !errors.Is(err, ErrInUse) {
		t.Errorf("open gave %v", err)
	}
	check(t, cmd.Process.Kill())
	<-drained
	_ = cmd.Wait()
	l := open(t, path, Config{})
	_, err = Open(path, Config{})
	wantErr(t, err, ErrInUse)
	check(t, l.Close())
	check(t, open(t, path, Config{}).Close())
}
