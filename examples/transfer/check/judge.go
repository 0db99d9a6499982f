package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/meshnode/meshnode/examples/transfer/bank"
	"github.com/meshnode/meshnode/outbox"
)

// What can be wrong.
const (
	lost     = "lost"      // there is a receipt, and neither an effect nor a dead letter
	doubled  = "doubled"   // one id has two effects of a kind
	halved   = "halved"    // money was taken and not given, or given and not taken
	refused  = "refused"   // a dead letter has an effect
	differs  = "differs"   // an effect is not what the receipt says
	order    = "order"     // of one client and one payer
	sum      = "sum"       // of all balances
	journal  = "journal"   // it does not give the balance
	pending  = "pending"   // something is left to be made
	heldHere = "partition" // is held by two nodes
)

var kinds = []string{lost, doubled, halved, refused, differs, order, sum, journal, pending, heldHere}

// report is the verdict, with the figures that it was made from.
type report struct {
	OK         bool           `json:"ok"`
	Nodes      int            `json:"nodes"`
	Partitions int            `json:"partitions"`
	Accounts   int            `json:"accounts"`
	Sum        int64          `json:"sum"`
	OpenedWith int64          `json:"opened_with"`
	Opens      int            `json:"opens"`     // receipts
	Transfers  int            `json:"transfers"` // receipts
	Told       int            `json:"told"`      // receipts of refusals
	Torn       int            `json:"torn"`      // receipts that were not finished
	Applied    int            `json:"applied"`   // transfers with a receipt
	Refused    int            `json:"refused"`   // transfers with a receipt, for good
	Expired    int            `json:"expired"`   // transfers with a receipt that were given up for their age: made or not
	Unasked    int            `json:"unasked"`   // transfers that were made and have no receipt: the client was killed before
	Findings   map[string]int `json:"findings"`
	Examples   []string       `json:"examples"` // of findings, some of each kind
}

// shown is how many findings of a kind are told in words.
const shown = 5

func (r *report) find(kind, format string, args ...any) {
	if r.Findings[kind]++; r.Findings[kind] <= shown {
		r.Examples = append(r.Examples, kind+": "+fmt.Sprintf(format, args...))
	}
}

// effects is what the journals say of one id.
type effects map[bank.Kind][]effect

type effect struct {
	account string
	numbered
}

// judge tells whether the books are right.
func judge(b *books) *report {
	r := &report{
		Nodes: len(b.nodes), Partitions: b.partitions, Accounts: len(b.accounts), Torn: b.torn,
		Findings: map[string]int{}, Examples: []string{},
	}
	all := map[string]effects{}
	for _, name := range slices.Sorted(maps.Keys(b.accounts)) {
		r.account(b.accounts[name], all)
	}
	if r.Sum != r.OpenedWith {
		r.find(sum, "the balances are %d in all, the accounts were opened with %d", r.Sum, r.OpenedWith)
	}
	dead := r.lettersOf(b.letters, all)
	for _, id := range slices.Sorted(maps.Keys(all)) {
		r.onceEach(id, all[id])
	}
	receipts := map[string]bool{}
	for _, list := range b.receipts {
		for i := range list {
			receipts[list[i].ID] = true
			r.receipt(&list[i], all[list[i].ID], dead)
		}
		r.inOrder(list, b.accounts)
	}
	for id, e := range all {
		if len(e[bank.Debited]) > 0 && !receipts[id] {
			r.Unasked++
		}
	}
	for _, text := range b.twice {
		r.find(heldHere, "%s", text)
	}
	r.OK = len(r.Findings) == 0
	return r
}

// account checks one account, and adds what its journal says.
func (r *report) account(a *account, all map[string]effects) {
	r.Sum += a.Balance
	var total int64
	for i, e := range a.journal {
		if e.number != uint64(i+1) {
			r.find(journal, "%s: entry %d where %d is due", a.Name, e.number, i+1)
		}
		total += e.Amount
		if e.Kind == bank.Opened {
			r.OpenedWith += e.Amount
		}
		if all[e.ID] == nil {
			all[e.ID] = effects{}
		}
		all[e.ID][e.Kind] = append(all[e.ID][e.Kind], effect{a.Name, e})
	}
	if total != a.Balance || uint64(len(a.journal)) != a.Entries {
		r.find(journal, "%s: balance %d after %d entries; the journal has %d entries and gives %d", a.Name, a.Balance, a.Entries, len(a.journal), total)
	}
}

// lettersOf looks at calls that have not been made. It gives the dead letters by id.
func (r *report) lettersOf(letters []outbox.Letter, all map[string]effects) map[string]outbox.Letter {
	dead := map[string]outbox.Letter{}
	for _, l := range letters {
		switch {
		case l.State != "dead":
			r.find(pending, "%s %s of %s: %s", l.Method, l.ID, l.Key, l.Reason)
		case l.Method == bank.Credit.Name():
			r.find(lost, "the money of %s: %s", l.ID, l.Reason)
		default:
			dead[l.ID] = l
			if e := all[l.ID]; !expired(l) && len(e[bank.Debited])+len(e[bank.Credited]) > 0 {
				r.find(refused, "%s was made, and is a dead letter: %s", l.ID, l.Reason)
			}
		}
	}
	return dead
}

// expired tells of a dead letter that was given up for its age: it may have been made,
// and the answer been lost.
func expired(l outbox.Letter) bool { return !l.Ended.Before(l.Expires) }

// onceEach checks that an id has each effect once, and that what was taken was given.
func (r *report) onceEach(id string, e effects) {
	for _, kind := range []bank.Kind{bank.Opened, bank.Debited, bank.Credited} {
		if list := e[kind]; len(list) > 1 {
			r.find(doubled, "%s: %s %d times, at %s entry %d and %s entry %d", id, kind, len(list),
				list[0].account, list[0].number, list[1].account, list[1].number)
		}
	}
	taken, given := e[bank.Debited], e[bank.Credited]
	switch {
	case len(taken) > 0 && len(given) == 0:
		r.find(halved, "%s: %d was taken from %s, and %s has not got it", id, -taken[0].Amount, taken[0].account, taken[0].Peer)
	case len(given) > 0 && len(taken) == 0:
		r.find(halved, "%s: %s has got %d, and nobody gave it", id, given[0].account, given[0].Amount)
	case len(given) > 0 && (given[0].Amount != -taken[0].Amount || given[0].account != taken[0].Peer || given[0].Peer != taken[0].account):
		r.find(differs, "%s: %+v was taken, %+v given", id, taken[0], given[0])
	}
}

// receipt checks that what a client was promised is so.
func (r *report) receipt(p *bank.Receipt, e effects, dead map[string]outbox.Letter) {
	if p.Kind == bank.Refused {
		r.Told++
		if len(e) > 0 {
			r.find(refused, "%s was made, and a client was told that it is refused", p.ID)
		}
		return
	}
	want := effect{p.From, numbered{Entry: bank.Entry{Kind: p.Kind, ID: p.ID, Peer: p.To, Amount: p.Amount}}}
	if p.Kind == bank.Opened {
		r.Opens++
	} else {
		r.Transfers++
		want.Amount = -p.Amount
	}
	letter, isDead := dead[p.ID]
	switch {
	case isDead && expired(letter):
		r.Expired++
	case isDead:
		r.Refused++
	case len(e[p.Kind]) == 0:
		r.find(lost, "%s: %s %d of %s", p.ID, p.Kind, p.Amount, p.From)
	default:
		got := e[p.Kind][0]
		got.number = 0
		if got != want {
			r.find(differs, "%s: promised was %+v, made was %+v", p.ID, want, got)
		}
		if p.Kind == bank.Debited {
			r.Applied++
		}
	}
}

// inOrder checks that transfers of a client were made in the order of its receipts,
// for each payer.
func (r *report) inOrder(list []bank.Receipt, accounts map[string]*account) {
	position := make(map[string]int, len(list))
	for i, p := range list {
		if p.Kind == bank.Debited {
			position[p.ID] = i + 1
		}
	}
	for _, name := range slices.Sorted(maps.Keys(accounts)) {
		latest := 0
		for _, e := range accounts[name].journal {
			at := position[e.ID]
			if e.Kind != bank.Debited || at == 0 {
				continue
			}
			if at < latest {
				r.find(order, "%s: %s was made after %s, and enqueued before it", name, e.ID, list[latest-1].ID)
			}
			latest = max(latest, at)
		}
	}
}
