package outbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshnode/meshnode/internal/disk"
	"github.com/meshnode/meshnode/internal/ledger"
	"github.com/meshnode/meshnode/internal/redo"
	"github.com/meshnode/meshnode/rpc"
)

// Errors of boxes. Those of Open name the file, and where in it.
var (
	// ErrClosed: the box is closed.
	ErrClosed = errors.New("outbox: closed")
	// ErrStarted: Start was called before.
	ErrStarted = errors.New("outbox: started already")
	// ErrNotStarted: Start was not called yet.
	ErrNotStarted = errors.New("outbox: not started")
	// ErrInUse: another process has the directory open.
	ErrInUse = disk.ErrInUse
	// ErrCorrupt: a file is damaged in its middle, or was changed.
	ErrCorrupt = redo.ErrCorrupt
	// ErrNewerFormat: a file was written by a newer version.
	ErrNewerFormat = redo.ErrNewerFormat
	// ErrBroken: a write or a sync has failed. Nothing more is taken until the box
	// is opened again.
	ErrBroken = redo.ErrBroken
)

// Box is a directory of durable calls: those that this process has taken and that
// are to be made, and what it has executed for others. It is a rpc.Queue. Its
// methods are safe for concurrent use.
//
// Invariant: a call is in the log before Add returns; index has each call that is
// pending, dead, or done and retained.
type Box struct {
	dir    string
	cfg    Config
	log    *redo.Log
	ledger *ledger.Ledger
	found  Recovery

	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	mesh   rpc.Caller             // set by Start before calls are made
	keeper atomic.Pointer[keeper] // nil before Start, and once the box is closed

	mu           sync.Mutex
	random       *rand.Rand
	box          uint64 // its number
	next         uint64 // the next call's seq
	index        map[string]*entry
	lanes        map[string]*lane
	pendingCalls int
	finished     []*entry // done, the oldest first
	schedule     schedule
	losses       map[uint64]*losses // of pending calls, by seq
	logged       int64              // bytes since the latest checkpoint
	counts       Counts
	broken       error
	closed       bool

	running     runningCalls
	checkpoints sync.Mutex // one at a time
	// writes is held by those who append calls, until index has them; a checkpoint
	// that begins waits for them.
	writes sync.RWMutex
}

// Recovery is what Open found.
type Recovery struct {
	redo.Recovery
	Pending int       // calls to be made
	Dead    int       // dead letters
	Done    int       // results that are kept
	Oldest  time.Time // when the first of the pending was taken; zero: there is none
}

// Open opens the box in a directory, which is made if need be, and recovers what
// it held: the newest checkpoint, and what was logged since. The directory is
// locked until Close. No call is made before Start.
func Open(dir string, cfg Config) (*Box, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	b, err := restore(dir, cfg)
	for i := 0; i < readAgain && cfg.ReadOnly && errors.Is(err, fs.ErrNotExist); i++ { // its owner has made a checkpoint meanwhile
		b, err = restore(dir, cfg)
	}
	if err != nil {
		return nil, fmt.Errorf("outbox %s: %w", dir, err)
	}
	if cfg.ReadOnly {
		return b, nil
	}
	b.ledger, err = ledger.Open(filepath.Join(dir, ledgerFile), ledger.Config{Retention: cfg.Retention})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("outbox %s: %w", dir, named(err)), b.log.Close())
	}
	if err := b.openSuspects(); err != nil {
		return nil, errors.Join(fmt.Errorf("outbox %s: %w", dir, err), b.closeFiles())
	}
	b.tellRecovery()
	b.tasks.Go(b.follow)
	b.tasks.Go(b.tidy)
	return b, nil
}

// readAgain is how often a log is read anew that changes while it is read.
const readAgain = 5

// restore opens the log, and gives the box as it was.
func restore(dir string, cfg Config) (*Box, error) {
	seed := cfg.RandSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) ^ uint64(os.Getpid())<<32
	}
	b := &Box{dir: dir, cfg: cfg, random: rand.New(rand.NewPCG(seed, 0x6f7574626f78)), index: map[string]*entry{}, lanes: map[string]*lane{}}
	b.losses = map[uint64]*losses{}
	b.schedule.workers, b.running.suspects = map[*worker]bool{}, make(chan struct{}, 1)
	b.ctx, b.cancel = context.WithCancel(context.Background())
	r := newReplay(b, time.Now())
	log, found, err := redo.Open(redo.Config{FS: cfg.fs, Dir: filepath.Join(dir, logDir), ReadOnly: cfg.ReadOnly}, r.record)
	if err != nil {
		return nil, err
	}
	b.log = log
	if err := b.recovered(r, found); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return b, nil
}

// What is in a box's directory.
const (
	logDir       = "redo"
	ledgerFile   = "ledger.db"
	inflightFile = "inflight"
)

// IsDir reports whether dir holds an outbox: Open has made one there.
func IsDir(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, logDir))
	return err == nil && info.IsDir()
}

func (b *Box) randomID() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.random.Uint64()
}

// recovered takes what the replay has found.
func (b *Box) recovered(r *replay, found *redo.Recovery) error {
	b.found.Recovery = *found
	b.next, b.box = r.next, r.box
	if b.box == 0 && !b.cfg.ReadOnly {
		b.box = b.randomID() | 1
		rec := boxRecord{box: b.box, next: b.next}
		if _, err := b.log.Append(kindBox, rec.append(nil)); err != nil {
			return err
		}
	}
	r.finish()
	b.logged = found.Bytes
	return nil
}

func (b *Box) tellRecovery() {
	f := &b.found
	e := b.cfg.Logger.Info().Str("dir", b.dir).Int("pending", f.Pending).Int("dead", f.Dead).Int("records", f.Records).
		Int64("log_bytes", f.Bytes).Str("from", fmt.Sprint(f.From)).Str("to", fmt.Sprint(f.End)).Int64("took_ms", f.Took.Milliseconds())
	if f.Cut > 0 {
		e = e.Int64("cut_bytes", f.Cut)
	}
	if f.Fallback {
		e = e.Bool("fallback", true)
	}
	if !f.Oldest.IsZero() {
		e = e.Time("oldest", f.Oldest)
	}
	e.Msg("recovered durable calls")
}

// Recovery tells what Open found.
func (b *Box) Recovery() Recovery { return b.found }

// Close stops the making of calls and closes the files. Calls under way may have
// been executed; they are made again when the box is opened, and their receivers
// know them. It is of no effect a second time.
func (b *Box) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	b.schedule.running = false
	if b.schedule.alarm != nil {
		b.schedule.alarm.Stop()
	}
	for _, e := range b.index {
		e.settleLocked()
	}
	b.mu.Unlock()
	b.cancel()
	b.tasks.Wait()
	b.keeper.Store(nil) // who keeps a closed box does not keep its node
	b.mesh = nil
	return b.closeFiles()
}

func (b *Box) closeFiles() error {
	err := b.log.Close()
	if b.ledger != nil {
		err = errors.Join(err, b.ledger.Close())
	}
	if b.running.file != nil {
		err = errors.Join(err, b.running.file.close())
	}
	return err
}

// failLocked notes that the log cannot be written any more.
func (b *Box) failLocked(err error) {
	if b.broken == nil {
		b.broken = err
		b.cfg.Logger.Error().Err(err).Msg("the redo log cannot be written: no durable calls are taken until the box is opened again")
	}
}

// tidy looks at what has expired, and makes checkpoints.
func (b *Box) tidy() {
	t := time.NewTicker(tidyEvery)
	defer t.Stop()
	purged := time.Now()
	for {
		select {
		case <-t.C:
			b.forgetFinished(time.Now())
			if time.Since(purged) > b.cfg.Retention/8 { // it reads all that is remembered
				b.purge()
				purged = time.Now()
			}
			if b.checkpointDue() {
				if err := b.Checkpoint(); err != nil {
					b.cfg.Logger.Error().Err(err).Msg("no checkpoint could be made; the log stays")
				}
			}
		case <-b.ctx.Done():
			return
		}
	}
}

const tidyEvery = time.Second

// purge forgets what the receiver need not know any more.
func (b *Box) purge() {
	if _, err := b.ledger.Purge(b.ctx, time.Now()); err != nil && b.ctx.Err() == nil {
		b.cfg.Logger.Error().Err(err).Msg("expired calls cannot be forgotten")
	}
}
