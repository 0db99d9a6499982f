package redo

import (
	"os"
	"path/filepath"
	"time"

	"github.com/meshnode/meshnode/internal/disk"
)

// checkpointBuffer is how much of a checkpoint is written at once, in bytes.
const checkpointBuffer = 256 << 10

// Checkpoint is a checkpoint being written. Use it from one goroutine, and end it
// with Commit or Abort. Nothing that goes wrong with it harms the log.
type Checkpoint struct {
	log    *Log
	file   uint64 // as in Position
	f      disk.File
	name   string
	salt   uint64
	sum    summer
	buf    []byte
	at     int64 // of buf in the file
	count  uint64
	err    error
	ended  bool
	before uint64 // the checkpoint before, once committed
}

// Begin begins a checkpoint: what is added to it stands for all records up to now,
// and redo begins with those that are appended from now on. It returns when all that
// was appended or given to Lazy before is on the disk.
//
// A record is before or after Begin by the time of its Append or Lazy. Whoever makes
// the list for a checkpoint must have the effects of all records before Begin in it;
// see the package comment.
func (l *Log) Begin() (*Checkpoint, error) {
	l.mu.Lock()
	if err := l.refusesLocked(); err != nil {
		l.mu.Unlock()
		return nil, err
	}
	if l.checkpointing {
		l.mu.Unlock()
		return nil, ErrCheckpointing
	}
	l.checkpointing = true
	b, own := l.joinLocked()
	b.rotate = true
	l.mu.Unlock()
	if own {
		l.commit(b)
	} else {
		<-b.done
	}
	err := b.err
	if err == nil {
		err = b.turned
	}
	var c *Checkpoint
	if err == nil {
		c, err = l.newCheckpoint(b.next)
	}
	if err != nil {
		l.mu.Lock()
		l.checkpointing = false
		l.mu.Unlock()
		return nil, err
	}
	return c, nil
}

func (l *Log) newCheckpoint(number uint64) (*Checkpoint, error) {
	file := number | checkpointBit
	c := &Checkpoint{log: l, file: file, name: pathOf(l.cfg.Dir, file), salt: random(), sum: newSummer()}
	f, err := l.cfg.FS.Open(c.name+unfinished, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(0); err != nil {
		_ = f.Close()
		return nil, err
	}
	c.f = f
	h := header{magic: checkpointMagic, log: l.id, number: number, salt: c.salt, extra: time.Now().UnixMilli()}
	c.buf = append(make([]byte, 0, checkpointBuffer), h.encode()...)
	return c, nil
}

// Add writes a record and returns where it is, for after Commit. See Log.Append for
// kind and data. An error comes again from Commit.
func (c *Checkpoint) Add(kind uint8, data []byte) (Position, error) {
	switch {
	case c.err != nil:
		return Position{}, c.err
	case c.ended:
		return Position{}, ErrClosed
	case kind == commitKind:
		return Position{}, ErrKind
	case len(data) > LargestRecord:
		return Position{}, ErrTooLarge
	}
	if len(c.buf) > 0 && len(c.buf)+overhead+len(data) > checkpointBuffer {
		if c.flush(); c.err != nil {
			return Position{}, c.err
		}
	}
	begin := len(c.buf)
	p := Position{c.file, c.at + int64(begin)}
	c.buf = appendRecord(c.buf, kind, data, c.sum.data(data))
	c.sum.place(c.buf[begin:], c.salt, p.offset)
	c.count++
	return p, nil
}

func (c *Checkpoint) flush() {
	if c.err == nil {
		_, c.err = c.f.WriteAt(c.buf, c.at)
		c.at += int64(len(c.buf))
		c.buf = c.buf[:0]
	}
}

// Commit puts the checkpoint on the disk, under its name: from now on Open begins
// with it. Then call Release. After an error there may be a checkpoint, whole, or
// not; the log and what it held are unharmed.
func (c *Checkpoint) Commit() error {
	if c.ended {
		return ErrClosed
	}
	if c.err == nil {
		c.buf = c.sum.appendCommit(c.buf, c.count, c.salt, c.at+int64(len(c.buf)))
		c.flush()
	}
	if c.err == nil {
		c.err = c.f.Sync()
	}
	if c.err != nil {
		return c.abort()
	}
	c.end()
	if c.err = c.f.Close(); c.err == nil {
		c.err = c.publish()
	}
	return c.err
}

// publish gives the file its name, and has it known.
func (c *Checkpoint) publish() error {
	l := c.log
	if err := l.cfg.FS.Rename(c.name+unfinished, c.name); err != nil {
		return err
	}
	if err := l.cfg.FS.SyncDir(l.cfg.Dir); err != nil {
		return err
	}
	f, err := l.cfg.FS.Open(c.name, os.O_RDONLY)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = f.Close()
		return ErrClosed
	}
	c.before, l.checkpoint = l.checkpoint, c.file&^checkpointBit
	l.files.add(c.file, &handle{f: f, name: c.name, salt: c.salt, size: c.at})
	return nil
}

// Abort drops the checkpoint. After Commit it does nothing.
func (c *Checkpoint) Abort() error {
	if c.ended {
		return nil
	}
	return c.abort()
}

// abort gives the error that there was, or else one of removing the file, which is no
// loss: Open removes it.
func (c *Checkpoint) abort() error {
	c.end()
	err := c.err
	if e := c.f.Close(); err == nil {
		err = e
	}
	if e := c.log.cfg.FS.Remove(c.name + unfinished); err == nil {
		err = e
	}
	return err
}

func (c *Checkpoint) end() {
	c.ended = true
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	c.log.checkpointing = false
}

// Release removes what is not needed once the checkpoint is committed: it and the one
// before are kept, with the segments from that one on, so that a damaged checkpoint
// costs nothing. Positions in removed files are gone. Until there are two checkpoints
// all is kept. After an error the rest is removed the next time.
func (c *Checkpoint) Release() error {
	if !c.ended || c.err != nil {
		return c.err
	}
	l := c.log
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if closed {
		return ErrClosed
	}
	names, err := l.cfg.FS.List(l.cfg.Dir)
	if err != nil {
		return err
	}
	removed := false
	for _, name := range names {
		file, ok := parseName(name)
		if !ok || !c.frees(file) {
			continue
		}
		err = l.files.drop(file)
		if err == nil {
			err = l.cfg.FS.Remove(filepath.Join(l.cfg.Dir, name))
		}
		if err != nil {
			return err
		}
		removed = true
	}
	if !removed {
		return nil
	}
	return l.cfg.FS.SyncDir(l.cfg.Dir)
}

// frees tells whether a file is not needed any more. Damaged checkpoints between the
// two that are kept are not.
func (c *Checkpoint) frees(file uint64) bool {
	number := file &^ checkpointBit
	if file&checkpointBit != 0 {
		return number < c.file&^checkpointBit && number != c.before
	}
	return number < c.before
}
