package outbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/meshnode/meshnode/internal/ledger"
)

// Inspection is what a stopped node has executed, opened to look at it: for
// programs that check or repair. What the node has taken to be made is seen with
// Open and Config.ReadOnly.
//
// Invariant: nothing in the directory's files is changed.
type Inspection struct {
	l    *ledger.Ledger
	node string
}

// Holding is a partition whose state is in a directory.
type Holding struct {
	Partition uint32
	Epoch     uint64 // grows each time that the partition goes to another node
	// To is the node that is to have it: the state is here as well as there, or here
	// alone; if another directory holds the partition with this epoch or a later one,
	// that one counts. Empty: it is held here.
	To string
}

// inspectBytes is about how much of a partition is read at a time.
const inspectBytes = 1 << 20

// Inspect opens the executed side of a box's directory, which no process may be
// using: the error is ErrInUse then, fs.ErrNotExist if no box was ever there, and
// ErrCorrupt or ErrNewerFormat if the file cannot be read. The directory is locked
// until Close.
func Inspect(dir string) (*Inspection, error) {
	path := filepath.Join(dir, ledgerFile)
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("outbox %s: %w", dir, err)
	}
	l, err := ledger.Open(path, ledger.Config{})
	if err != nil {
		return nil, fmt.Errorf("outbox %s: %w", dir, named(err))
	}
	i := &Inspection{l: l}
	if err := i.readNode(); err != nil {
		return nil, errors.Join(fmt.Errorf("outbox %s: %w", dir, err), l.Close())
	}
	return i, nil
}

func (i *Inspection) readNode() error {
	text, err := i.l.Note(noteNode)
	if err != nil || text == nil {
		return err
	}
	var note nodeNote
	if err := json.Unmarshal(text, &note); err != nil {
		return err
	}
	i.node = note.Name
	return nil
}

// Close closes the file.
func (i *Inspection) Close() error { return i.l.Close() }

// Node is the name of the node whose directory it is; empty if it never started.
func (i *Inspection) Node() string { return i.node }

// Holdings gives the partitions whose state is here, in their order. The slice is
// the caller's.
func (i *Inspection) Holdings() []Holding {
	var list []Holding
	for _, state := range []ledger.State{ledger.Held, ledger.Giving} {
		for _, p := range i.l.Held(state) {
			h, _ := i.l.Where(p)
			list = append(list, Holding{Partition: p, Epoch: h.Epoch, To: h.To})
		}
	}
	return list
}

// Read calls each for all entries of a bucket of a partition that Holdings has
// named, in the order of their keys, and stops with its error. The slices are valid
// until each returns.
func (i *Inspection) Read(partition uint32, bucket string, each func(key, value []byte) error) error {
	if _, held := i.l.Holds(partition); !held {
		return i.readGiving(partition, bucket, each)
	}
	return i.l.View(partition, func(tx *ledger.Tx) error {
		for k, v := range tx.Bucket([]byte(bucket)).From(nil) {
			if err := each(k, v); err != nil {
				return err
			}
		}
		return nil
	})
}

// readGiving reads a partition that is on its way to another node, as that one
// would.
func (i *Inspection) readGiving(partition uint32, bucket string, each func(key, value []byte) error) error {
	for after := []byte(nil); ; {
		c, err := i.l.Export(partition, after, inspectBytes)
		if err != nil {
			return err
		}
		for _, pair := range c.Pairs {
			if key, ok := pair.In(bucket); ok {
				if err := each(key, pair.Value); err != nil {
					return err
				}
			}
		}
		if c.Last {
			return nil
		}
		after = c.Next
	}
}

// Following gives the durable calls that handlers have enqueued and that are not in
// the log yet: the node takes them when it starts again.
func (i *Inspection) Following() ([]Letter, error) {
	var list []Letter
	for after := uint64(0); ; {
		items, err := i.l.NextFollow(after, followBatch)
		if err != nil || len(items) == 0 {
			return list, err
		}
		for _, item := range items {
			r, err := decodeCall(item.Data)
			if err != nil {
				return list, err
			}
			list = append(list, Letter{ID: r.id, Key: r.key, Method: r.method, State: pending.String(), Request: r.body})
			after = item.Seq
		}
	}
}
