package main

import (
	"bytes"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/examples/transfer/bank"
	"github.com/meshnode/meshnode/outbox"
)

func at(n uint64, kind bank.Kind, id, peer string, amount int64) numbered {
	return numbered{n, bank.Entry{Kind: kind, ID: id, Peer: peer, Amount: amount}}
}

// rightBooks are two accounts with three transfers, one of which was refused.
func rightBooks() *books {
	return &books{
		nodes: []string{"a"}, partitions: 1,
		accounts: map[string]*account{
			"alice": {bank.Account{Name: "alice", Balance: 85, Entries: 3, Opened: true}, []numbered{
				at(1, bank.Opened, "open/alice", "", 100), at(2, bank.Debited, "1", "bob", -10), at(3, bank.Debited, "3", "bob", -5),
			}},
			"bob": {bank.Account{Name: "bob", Balance: 115, Entries: 3, Opened: true}, []numbered{
				at(1, bank.Opened, "open/bob", "", 100), at(2, bank.Credited, "1", "alice", 10), at(3, bank.Credited, "3", "alice", 5),
			}},
		},
		receipts: [][]bank.Receipt{{
			{Kind: bank.Opened, ID: "open/alice", From: "alice", Amount: 100},
			{Kind: bank.Opened, ID: "open/bob", From: "bob", Amount: 100},
			{Kind: bank.Debited, ID: "1", From: "alice", To: "bob", Amount: 10},
			{Kind: bank.Debited, ID: "2", From: "alice", To: "bob", Amount: 900},
			{Kind: bank.Refused, ID: "2", From: "alice"},
			{Kind: bank.Debited, ID: "3", From: "alice", To: "bob", Amount: 5},
		}},
		letters: []outbox.Letter{{ID: "2", Method: bank.Debit.Name(), State: "dead", Reason: "insufficient funds", Ended: time.Unix(1, 0), Expires: time.Unix(9, 0)}},
	}
}

// append adds entries to an account, as if its handlers had.
func (a *account) append(list ...numbered) {
	for _, e := range list {
		a.Entries++
		a.Balance += e.Amount
		e.number = a.Entries
		a.journal = append(a.journal, e)
	}
}

// What is right is found right, and each thing that is wrong is found, and nothing
// else.
func TestJudge(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(b *books)
		want  map[string]int
	}{
		{"right", func(*books) {}, nil},
		{"without a receipt", func(b *books) { b.receipts = nil }, nil},
		{"a call that expired and was made", func(b *books) {
			b.letters[0].ID, b.letters[0].Ended = "1", time.Unix(9, 0)
			b.receipts[0] = append(b.receipts[0][:3:3], b.receipts[0][5])
		}, nil},
		{"a transfer that is nowhere", func(b *books) {
			b.receipts[0] = append(b.receipts[0], bank.Receipt{Kind: bank.Debited, ID: "4", From: "alice", To: "bob", Amount: 1})
		}, map[string]int{lost: 1}},
		{"an account that is nowhere", func(b *books) {
			b.receipts[0] = append(b.receipts[0], bank.Receipt{Kind: bank.Opened, ID: "open/carol", From: "carol", Amount: 1})
		}, map[string]int{lost: 1}},
		{"money that nobody takes", func(b *books) {
			b.letters = append(b.letters, outbox.Letter{ID: "1/credit", Method: bank.Credit.Name(), State: "dead"})
		}, map[string]int{lost: 1}},
		{"debited and credited twice", func(b *books) {
			b.accounts["alice"].append(at(0, bank.Debited, "3", "bob", -5))
			b.accounts["bob"].append(at(0, bank.Credited, "3", "alice", 5))
		}, map[string]int{doubled: 2}},
		{"credited twice", func(b *books) { b.accounts["bob"].append(at(0, bank.Credited, "3", "alice", 5)) }, map[string]int{doubled: 1, sum: 1}},
		{"credited elsewhere as well", func(b *books) {
			b.accounts["carol"] = &account{Account: bank.Account{Name: "carol"}}
			b.accounts["carol"].append(at(0, bank.Credited, "3", "alice", 5))
		}, map[string]int{doubled: 1, sum: 1}},
		{"debited alone", func(b *books) { b.accounts["alice"].append(at(0, bank.Debited, "4", "bob", -5)) }, map[string]int{halved: 1, sum: 1}},
		{"credited alone", func(b *books) { b.accounts["bob"].append(at(0, bank.Credited, "4", "alice", 5)) }, map[string]int{halved: 1, sum: 1}},
		{"refused and made", func(b *books) {
			b.accounts["alice"].append(at(0, bank.Debited, "2", "bob", -900))
			b.accounts["bob"].append(at(0, bank.Credited, "2", "alice", 900))
		}, map[string]int{refused: 2, order: 1}}, // by the letter, and by what the client was told
		{"another amount", func(b *books) { b.receipts[0][2].Amount = 11 }, map[string]int{differs: 1}},
		{"another receiver", func(b *books) { b.receipts[0][2].To = "carol" }, map[string]int{differs: 1}},
		{"the other way round", func(b *books) {
			j := b.accounts["alice"].journal
			j[1].Entry, j[2].Entry = j[2].Entry, j[1].Entry
		}, map[string]int{order: 1}},
		{"a wrong balance", func(b *books) { b.accounts["bob"].Balance++ }, map[string]int{journal: 1, sum: 1}},
		{"a gap", func(b *books) {
			a := b.accounts["alice"]
			a.journal[2].number++
		}, map[string]int{journal: 1}},
		{"something to do", func(b *books) {
			b.letters = append(b.letters, outbox.Letter{ID: "4", Method: bank.Debit.Name(), State: "pending"})
		}, map[string]int{pending: 1}},
		{"held twice", func(b *books) { b.twice = []string{"partition 7"} }, map[string]int{heldHere: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := rightBooks()
			test.spoil(b)
			r := judge(b)
			if !maps.Equal(r.Findings, test.want) || r.OK != (len(test.want) == 0) {
				t.Errorf("ok %v, %v, want %v\n%s", r.OK, r.Findings, test.want, strings.Join(r.Examples, "\n"))
			}
		})
	}
}

// The figures are those of the books, and the text has the findings.
func TestReport(t *testing.T) {
	b := rightBooks()
	b.accounts["bob"].Balance++
	r := judge(b)
	if r.Transfers != 3 || r.Applied != 2 || r.Refused != 1 || r.Told != 1 || r.Opens != 2 || r.Sum != 201 || r.OpenedWith != 200 || r.Unasked != 0 {
		t.Errorf("%+v", r)
	}
	var text bytes.Buffer
	if err := r.print(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"NOT RIGHT\n", "3 transfers", "2 of them, 1 refused", "journal     1\n", "  sum: the balances are 201"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &text)
		}
	}
}
