package outbox

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meshnode/meshnode/internal/ledger"
)

// Silence is a node with a box that does not answer: the state of partitions may be
// on its disk alone.
type Silence struct {
	Name string `json:"name"`
	// Down says that it is no member; else it is one, and does not answer.
	Down  bool      `json:"down"`
	Since time.Time `json:"since"` // as this node has seen it, since its own start
}

// String says it in words.
func (s Silence) String() string {
	how := "is a member and has not answered since "
	if s.Down {
		how = "is down, seen from here since "
	}
	return s.Name + " " + how + s.Since.UTC().Format(time.RFC3339)
}

// heardOf is what the others have said, in the latest round, of partitions that this
// node owns and does not hold.
//
// Invariant: silent has the boxes that did not answer the latest round, with the time
// since when they have answered none. It is under keeper.mu.
type heardOf struct {
	silent map[string]time.Time
	with   map[uint32]whereAnswer // what somebody knows; its To is who has the partition
}

// heard notes the findings of a round.
func (k *keeper) heard(f *findings) {
	k.mu.Lock()
	defer k.mu.Unlock()
	silent, now := make(map[string]time.Time, len(f.silent)), time.Now()
	for _, name := range f.silent {
		silent[name] = now
		if since, ok := k.others.silent[name]; ok {
			silent[name] = since
		}
	}
	k.others = heardOf{silent: silent, with: f.with}
}

// silences are the boxes that do not answer, by name.
func (k *keeper) silences() []Silence {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := make([]Silence, 0, len(k.others.silent))
	for name, since := range k.others.silent {
		list = append(list, Silence{Name: name, Down: !k.live(name), Since: since})
	}
	slices.SortFunc(list, func(x, y Silence) int { return cmp.Compare(x.Name, y.Name) })
	return list
}

// whoHolds says, of a partition that this node owns and does not hold, who has its
// state, as far as is known, and what keeps it from coming here.
func (k *keeper) whoHolds(p uint32) string {
	silences := k.silences()
	k.mu.Lock()
	answer, known := k.others.with[p]
	k.mu.Unlock()
	name := answer.To
	if h, _ := k.b.ledger.Where(p); h.To != "" && (!known || h.Epoch >= answer.Epoch) {
		name = h.To // this node gave it to somebody, or is about to
		if h.State == ledger.Giving {
			return fmt.Sprintf("it is on its way to %s%s", name, standing(name, silences))
		}
	}
	switch {
	case name != "":
		return fmt.Sprintf("it is with %s%s", name, standing(name, silences))
	case len(silences) == 0:
		return "it is on its way here, or another node looks for it as well"
	case len(silences) == 1:
		return fmt.Sprintf("no other node has it, so it is with %s if with anybody%s", silences[0].Name, standing(silences[0].Name, silences))
	}
	names := make([]string, len(silences))
	for i, s := range silences {
		names[i] = s.String()
	}
	return "it may be with one of those who do not answer: " + strings.Join(names, ", ")
}

// standing says of a node that it does not answer.
func standing(name string, silences []Silence) string {
	for _, s := range silences {
		if s.Name == name {
			return ", which " + strings.TrimPrefix(s.String(), name+" ")
		}
	}
	return ""
}

// waiting is how many partitions this node owns and does not hold, and which boxes do
// not answer that may hold them.
func (b *Box) waiting() (partitions int, silent []Silence) {
	k := b.keeper.Load()
	if k == nil {
		return 0, nil
	}
	k.mu.Lock()
	partitions = len(k.wanted)
	k.mu.Unlock()
	if partitions == 0 {
		return 0, nil
	}
	return partitions, k.silences()
}
