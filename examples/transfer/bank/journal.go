package bank

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/meshnode/meshnode/outbox"
)

// The buckets of a partition, which hold all accounts that belong to it.
const (
	AccountsBucket = "accounts" // name → Account
	JournalBucket  = "journal"  // name, 0, number of the entry (8 bytes, big endian) → Entry
)

// Account is a balance, and how many entries its journal has.
//
// Invariant: Balance is the sum of the amounts in the journal, whose entries are
// numbered from 1 to Entries.
type Account struct {
	Name    string `json:"-"`
	Balance int64  `json:"balance"`
	Entries uint64 `json:"entries"`
	Opened  bool   `json:"opened"` // false: money has arrived before
}

// Kind says what an entry of a journal is about.
type Kind string

// The kinds of entries.
const (
	Opened   Kind = "open"
	Debited  Kind = "debit"
	Credited Kind = "credit"

	// Refused is in receipts only: a client was told that a transfer is refused for
	// good.
	Refused Kind = "refused"
)

// Entry is one line of an account's journal.
type Entry struct {
	Kind   Kind   `json:"kind"`
	ID     string `json:"id"`             // of the transfer
	Peer   string `json:"peer,omitempty"` // the other account
	Amount int64  `json:"amount"`         // what the balance grew by
}

// load reads an account; one that is not there is empty.
func load(tx *outbox.Tx, name string) (*Account, error) {
	a := &Account{Name: name}
	text := tx.Bucket(AccountsBucket).Get([]byte(name))
	if text == nil {
		return a, nil
	}
	return a, json.Unmarshal(text, a)
}

// book changes the balance, and writes down why.
func (a *Account) book(tx *outbox.Tx, e Entry) error {
	a.Balance += e.Amount
	a.Entries++
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := tx.Bucket(JournalBucket).Put(JournalKey(a.Name, a.Entries), line); err != nil {
		return err
	}
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return tx.Bucket(AccountsBucket).Put([]byte(a.Name), text)
}

// JournalKey is the key of an entry in JournalBucket.
func JournalKey(account string, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(account), 0), number)
}

// ParseJournalKey takes apart what JournalKey made.
func ParseJournalKey(key []byte) (account string, number uint64, err error) {
	at := bytes.IndexByte(key, 0)
	if at < 0 || len(key) != at+9 {
		return "", 0, fmt.Errorf("bank: %q is no key of a journal", key)
	}
	return string(key[:at]), binary.BigEndian.Uint64(key[at+1:]), nil
}
