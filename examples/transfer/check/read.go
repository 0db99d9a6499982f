package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/meshnode/meshnode/examples/transfer/bank"
	"github.com/meshnode/meshnode/outbox"
)

// account is what the directories say of one account.
type account struct {
	bank.Account
	journal []numbered // as they come in the file, by number
}

type numbered struct {
	number uint64
	bank.Entry
}

// books is all that is judged.
type books struct {
	nodes      []string
	partitions int
	accounts   map[string]*account
	receipts   [][]bank.Receipt // of each client, in their order
	torn       int
	letters    []outbox.Letter // calls that are pending or dead, of all nodes
	twice      []string        // partitions that two nodes hold
}

// readAll reads directories and the receipts in them.
func readAll(dirs []string) (*books, error) {
	b := &books{accounts: map[string]*account{}}
	best := map[uint32]place{}
	for _, dir := range dirs {
		nodes, receipts, err := contents(dir)
		if err != nil {
			return nil, err
		}
		for _, path := range receipts {
			list, torn, err := bank.ReadReceipts(path)
			if err != nil {
				return nil, err
			}
			b.receipts, b.torn = append(b.receipts, list), b.torn+torn
		}
		for _, node := range nodes {
			closing, err := b.open(node, best)
			if err != nil {
				return nil, err
			}
			defer closing.Close()
		}
	}
	if len(b.nodes) == 0 {
		return nil, fmt.Errorf("%w: no node has a directory in %v", fs.ErrNotExist, dirs)
	}
	b.partitions = len(best)
	for _, p := range best {
		if err := b.readPartition(p); err != nil {
			return nil, fmt.Errorf("partition %d of %s: %w", p.Partition, p.of.Node(), err)
		}
	}
	return b, nil
}

// contents finds nodes' directories and receipts.
func contents(dir string) (nodes, receipts []string, err error) {
	if receipts, err = filepath.Glob(filepath.Join(dir, "*.receipts")); err != nil {
		return nil, nil, err
	}
	if isNode(dir) {
		return []string{dir}, receipts, nil
	}
	list, err := os.ReadDir(dir)
	for _, e := range list {
		if path := filepath.Join(dir, e.Name()); e.IsDir() && isNode(path) {
			nodes = append(nodes, path)
		}
	}
	return nodes, receipts, err
}

func isNode(dir string) bool {
	i, err := os.Stat(filepath.Join(dir, "redo"))
	return err == nil && i.IsDir()
}

// place is where a partition's state is.
type place struct {
	outbox.Holding
	of *outbox.Inspection
}

// open reads what a node was to make, and finds what partitions it has. What it
// gives is to be closed when they are read.
func (b *books) open(dir string, best map[uint32]place) (*outbox.Inspection, error) {
	box, err := outbox.Open(dir, outbox.Config{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	b.letters = append(b.letters, box.List(0, func(l outbox.Letter) bool { return l.State != "done" })...)
	if err := box.Close(); err != nil {
		return nil, err
	}
	i, err := outbox.Inspect(dir)
	if err != nil {
		return nil, err
	}
	b.nodes = append(b.nodes, i.Node())
	following, err := i.Following()
	if err != nil {
		return nil, errors.Join(err, i.Close())
	}
	b.letters = append(b.letters, following...)
	for _, h := range i.Holdings() {
		was, known := best[h.Partition]
		if known && was.To == "" && h.To == "" {
			b.twice = append(b.twice, fmt.Sprintf("partition %d is held by %s with epoch %d and by %s with %d", h.Partition, was.of.Node(), was.Epoch, i.Node(), h.Epoch))
		}
		// What is held with the same epoch as it was given with has arrived.
		if !known || h.Epoch > was.Epoch || h.Epoch == was.Epoch && h.To == "" {
			best[h.Partition] = place{h, i}
		}
	}
	return i, nil
}

func (b *books) account(name string) *account {
	a := b.accounts[name]
	if a == nil {
		a = &account{Account: bank.Account{Name: name}}
		b.accounts[name] = a
	}
	return a
}

// readPartition reads the accounts of a partition and their journals.
func (b *books) readPartition(p place) error {
	err := p.of.Read(p.Partition, bank.AccountsBucket, func(key, value []byte) error {
		return json.Unmarshal(value, &b.account(string(key)).Account)
	})
	if err != nil {
		return err
	}
	return p.of.Read(p.Partition, bank.JournalBucket, func(key, value []byte) error {
		name, number, err := bank.ParseJournalKey(key)
		if err != nil {
			return err
		}
		e := numbered{number: number}
		if err := json.Unmarshal(value, &e.Entry); err != nil {
			return err
		}
		a := b.account(name)
		a.journal = append(a.journal, e)
		return nil
	})
}
