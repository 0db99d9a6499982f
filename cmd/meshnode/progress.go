package main

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

const progressInterval = 100 * time.Millisecond

// showProgress draws a bar on stderr, if that is a terminal, until the
// function that it gives is called.
func (a *app) showProgress(t *tally, keys *keyReader, start time.Time) (stop func()) {
	if !isTerminal(a.stderr) {
		return func() {}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(progressInterval)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				fmt.Fprint(a.stderr, "\r\x1b[K")
				return
			case <-ticker.C:
			}
			columns, _, _ := terminalSize(a.stderr)
			total, failed := t.counts()
			line := progressLine(keys, total, failed, time.Since(start))
			fmt.Fprintf(a.stderr, "\r%s\x1b[K", shorten(line, columns-1))
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

func progressLine(keys *keyReader, total, failed int, elapsed time.Duration) string {
	var b strings.Builder
	if done, ok := keys.fraction(); ok {
		fmt.Fprintf(&b, "%-24s│ %3.0f%%  ", bar(done, 24), 100*done)
	}
	fmt.Fprintf(&b, "%s keys  %s/s", thousands(total), thousands(int64(float64(total)/max(elapsed.Seconds(), 1e-3))))
	if failed > 0 {
		fmt.Fprintf(&b, "  %s failed", thousands(failed))
	}
	return b.String()
}
