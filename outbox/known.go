package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// ErrOtherNode: the directory is that of a node with another name, or of a cluster
// with another number of partitions.
var ErrOtherNode = errors.New("outbox: the directory is another node's")

// What is noted in the ledger beside its partitions.
const (
	noteNode  = "node"  // whose it is: nodeNote
	noteBoxes = "boxes" // the names of nodes that have boxes
)

type nodeNote struct {
	Name       string `json:"name"`
	Partitions uint32 `json:"partitions"`
}

// fit makes sure that the directory is this node's, and reads who else has boxes.
func (k *keeper) fit() error {
	is := nodeNote{Name: k.n.Name(), Partitions: k.n.Table().Params().Partitions}
	text, err := k.b.ledger.Note(noteNode)
	if err != nil {
		return err
	}
	if text == nil {
		text, _ = json.Marshal(is)
		if err := k.b.ledger.SetNote(k.b.ctx, noteNode, text); err != nil {
			return err
		}
	}
	var was nodeNote
	if err := json.Unmarshal(text, &was); err != nil {
		return err
	}
	if was != is {
		return fmt.Errorf("%w: of %s with %d partitions; this one is %s with %d", ErrOtherNode, was.Name, was.Partitions, is.Name, is.Partitions)
	}
	k.known = map[string]bool{}
	if text, err = k.b.ledger.Note(noteBoxes); err != nil || text == nil {
		return err
	}
	return json.Unmarshal(text, &k.known)
}

// know adds names of nodes that have boxes, and gives all but the abandoned, sorted,
// once they are on the disk: a partition is claimed only when all have answered.
func (k *keeper) know(ctx context.Context, names []string) ([]string, error) {
	next, err := k.note(ctx, func(known map[string]bool) {
		for _, name := range names {
			if _, noted := known[name]; !noted && name != k.n.Name() && name != "" {
				known[name] = true
			}
		}
	})
	if err != nil {
		return nil, err
	}
	all := []string{k.n.Name()}
	for name, counts := range next {
		if counts {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all, nil
}

// note changes what is known, on the disk first.
func (k *keeper) note(ctx context.Context, change func(map[string]bool)) (map[string]bool, error) {
	k.noting.Lock() // one change at a time
	defer k.noting.Unlock()
	k.mu.Lock()
	next := maps.Clone(k.known)
	k.mu.Unlock()
	change(next)
	if maps.Equal(next, k.known) { // only this function changes it
		return next, nil
	}
	text, err := json.Marshal(next)
	if err == nil {
		err = k.b.ledger.SetNote(ctx, noteBoxes, text)
	}
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	k.known = next
	k.mu.Unlock()
	return next, nil
}

// Abandon says that a node's box will not come back: partitions that only it can
// hold are claimed without it, and what only it knew is lost. It is noted on this
// node's disk, and to be said on each node that is to go on.
func (b *Box) Abandon(ctx context.Context, name string) error {
	k := b.keeper.Load()
	if k == nil {
		return ErrNotStarted
	}
	if _, err := k.note(ctx, func(known map[string]bool) { known[name] = false }); err != nil {
		return err
	}
	k.look()
	return nil
}

// holds is how many partitions are held here.
func (b *Box) holds() int { return b.ledger.Stats().Held }

// abandoned reports whether this node was told that a node's box will not come back.
func (k *keeper) abandoned(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	counts, noted := k.known[name]
	return noted && !counts
}
