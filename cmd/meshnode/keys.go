package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
)

// maxKey is the longest line that is taken for a key, in bytes.
const maxKey = 1 << 20

// keyReader hands out the lines of a file, one by one. It holds one line, not
// the file.
type keyReader struct {
	in    io.ReadCloser
	size  int64        // bytes in all; 0: unknown
	read  atomic.Int64 // bytes so far
	empty int          // lines without a key; read it after each has returned
}

// openKeys opens a file of keys; - is standard input.
func (a *app) openKeys(path string) (*keyReader, error) {
	if path == "-" {
		return &keyReader{in: io.NopCloser(a.stdin)}, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r := &keyReader{in: f}
	if info.Mode().IsRegular() {
		r.size = info.Size()
	}
	return r, nil
}

// Read counts what the scanner reads.
func (r *keyReader) Read(b []byte) (int, error) {
	n, err := r.in.Read(b)
	r.read.Add(int64(n))
	return n, err
}

// each gives every line that is not empty to take, without its line end, and
// closes the file. It ends early when ctx does.
func (r *keyReader) each(ctx context.Context, take func(key string) error) (err error) {
	defer func() { err = errors.Join(err, r.in.Close()) }()
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxKey)
	n := 0
	for ; lines.Scan(); n++ {
		if len(lines.Bytes()) == 0 {
			r.empty++
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := take(lines.Text()); err != nil {
			return err
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("line %d is longer than a key can be (%d bytes)", n+1, maxKey)
	}
	return lines.Err()
}

// fraction is how much of the file has been read, 0 to 1. ok is false when its
// size is unknown.
func (r *keyReader) fraction() (done float64, ok bool) {
	if r.size == 0 {
		return 0, false
	}
	return min(float64(r.read.Load())/float64(r.size), 1), true
}
