package main

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"go.etcd.io/bbolt"

	"github.com/meshnode/meshnode/internal/redo"
)

// redoKinds are the logs that are compared; the bare loop comes first, as the others are
// held against it.
func redoKinds() []redoKind {
	return []redoKind{
		{name: "bare fsynced loop", loop: bareLoop, fill: fillBare, recover: recoverBare},
		{name: "internal/redo", open: openRedo, fill: fillRedo, recover: recoverRedo},
		{name: "raft-wal, our group commit", open: openRaftWAL, fill: fillRaftWAL, recover: recoverRaftWAL},
		{name: "bbolt Batch", open: openBbolt, fill: fillBbolt, recover: recoverBbolt},
	}
}

// bareLoop is what a disk can do: the records of all writers in one write, and a sync.
func bareLoop(dir string, writers int) (func() error, error) {
	f, err := os.Create(filepath.Join(dir, "bare"))
	if err != nil {
		return nil, err
	}
	b, at := make([]byte, writers*redoRecord), int64(0)
	return func() error {
		if _, err := f.WriteAt(b, at); err != nil {
			return err
		}
		at += int64(len(b))
		return f.Sync()
	}, nil
}

func fillBare(dir string, n int) error {
	return os.WriteFile(filepath.Join(dir, "bare"), make([]byte, n*redoRecord), 0o600)
}

func recoverBare(dir string, each func([]byte)) error {
	b, err := os.ReadFile(filepath.Join(dir, "bare"))
	for ; len(b) >= redoRecord; b = b[redoRecord:] {
		each(b[:redoRecord])
	}
	return err
}

// ours is this project's log.
type ours struct{ *redo.Log }

func (o ours) Append(data []byte) error {
	_, err := o.Log.Append(1, data)
	return err
}

func openRedo(dir string, _ int) (redoLog, error) {
	l, _, err := redo.Open(redo.Config{Dir: dir}, nil)
	return ours{l}, err
}

func fillRedo(dir string, n int) error {
	l, _, err := redo.Open(redo.Config{Dir: dir}, nil)
	if err != nil {
		return err
	}
	data := make([]byte, redoRecord)
	for range n {
		if err := l.Lazy(1, data); err != nil {
			return err
		}
	}
	return l.Close()
}

func recoverRedo(dir string, each func([]byte)) error {
	l, _, err := redo.Open(redo.Config{Dir: dir}, func(r redo.Record) error { each(r.Data); return nil })
	if err != nil {
		return err
	}
	return l.Close()
}

// raftWAL is hashicorp/raft-wal with default settings. It takes batches from one writer at
// a time, so a group commit like that of internal/redo stands in front.
type raftWAL struct {
	w    *wal.WAL
	meta *metadb.BoltMetaDB // closed by us: v0.4.0 leaves it open and locked
	next uint64             // index; belongs to whoever commits

	mu  sync.Mutex
	cur *raftBatch
}

type raftBatch struct {
	data         [][]byte
	before, done chan struct{}
	err          error
}

func newRaftWAL(dir string) (*raftWAL, error) {
	quiet := hclog.New(&hclog.LoggerOptions{Output: io.Discard})
	meta := &metadb.BoltMetaDB{}
	w, err := wal.Open(dir, wal.WithLogger(quiet), wal.WithMetaStore(meta))
	if err != nil {
		return nil, err
	}
	ready := make(chan struct{})
	close(ready)
	return &raftWAL{w: w, meta: meta, next: 1, cur: &raftBatch{before: ready, done: make(chan struct{})}}, nil
}

func openRaftWAL(dir string, _ int) (redoLog, error) { return newRaftWAL(dir) }

func (r *raftWAL) Append(data []byte) error {
	r.mu.Lock()
	b := r.cur
	own := len(b.data) == 0
	b.data = append(b.data, data)
	r.mu.Unlock()
	if !own {
		<-b.done
		return b.err
	}
	<-b.before
	runtime.Gosched()
	r.mu.Lock()
	r.cur = &raftBatch{before: b.done, done: make(chan struct{})}
	r.mu.Unlock()
	b.err = r.store(b.data)
	close(b.done)
	return b.err
}

func (r *raftWAL) store(data [][]byte) error {
	logs := make([]raft.Log, len(data))
	refs := make([]*raft.Log, len(data))
	for i, d := range data {
		logs[i] = raft.Log{Index: r.next, Data: d}
		refs[i] = &logs[i]
		r.next++
	}
	return r.w.StoreLogs(refs)
}

func (r *raftWAL) Close() error { return errors.Join(r.w.Close(), r.meta.Close()) }

func fillRaftWAL(dir string, n int) error {
	r, err := newRaftWAL(dir)
	if err != nil {
		return err
	}
	batch := make([][]byte, 1000)
	for i := range batch {
		batch[i] = make([]byte, redoRecord)
	}
	for ; n > 0; n -= len(batch) {
		if err := r.store(batch[:min(n, len(batch))]); err != nil {
			return err
		}
	}
	return r.Close()
}

func recoverRaftWAL(dir string, each func([]byte)) error {
	r, err := newRaftWAL(dir)
	if err != nil {
		return err
	}
	first, err := r.w.FirstIndex()
	if err != nil {
		return err
	}
	last, err := r.w.LastIndex()
	if err != nil {
		return err
	}
	var entry raft.Log
	for i := first; i <= last; i++ {
		if err := r.w.GetLog(i, &entry); err != nil {
			return err
		}
		each(entry.Data)
	}
	return r.Close()
}

// boltLog is bbolt alone, with Batch. A batch begins when all writers are in it, rather
// than after its default delay of 10 ms.
type boltLog struct{ db *bbolt.DB }

func openBbolt(dir string, writers int) (redoLog, error) {
	db, err := bbolt.Open(filepath.Join(dir, "bolt"), 0o600, nil)
	if err != nil {
		return nil, err
	}
	db.MaxBatchSize = writers
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists([]byte("log"))
		return err
	})
	return boltLog{db}, err
}

func putBolt(tx *bbolt.Tx, data []byte) error {
	b := tx.Bucket([]byte("log"))
	b.FillPercent = 1 // keys only grow
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	return b.Put(binary.BigEndian.AppendUint64(nil, n), data)
}

func (l boltLog) Append(data []byte) error {
	return l.db.Batch(func(tx *bbolt.Tx) error { return putBolt(tx, data) })
}

func (l boltLog) Close() error { return l.db.Close() }

func fillBbolt(dir string, n int) error {
	l, err := openBbolt(dir, 1)
	if err != nil {
		return err
	}
	data := make([]byte, redoRecord)
	for ; n > 0; n -= 10_000 {
		err := l.(boltLog).db.Update(func(tx *bbolt.Tx) error {
			for range min(n, 10_000) {
				if err := putBolt(tx, data); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return l.Close()
}

func recoverBbolt(dir string, each func([]byte)) error {
	db, err := bbolt.Open(filepath.Join(dir, "bolt"), 0o600, nil)
	if err != nil {
		return err
	}
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("log")).ForEach(func(_, data []byte) error { each(data); return nil })
	})
	if err != nil {
		return err
	}
	return db.Close()
}
