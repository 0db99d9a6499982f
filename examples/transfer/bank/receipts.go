package bank

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"
)

// Receipt is what a client was told: that the call of that id was taken or, later,
// that it is refused for good.
type Receipt struct {
	Kind   Kind   `json:"kind"` // Opened or Debited: taken; Refused
	ID     string `json:"id"`
	From   string `json:"from"` // the account; of a transfer, the payer's
	To     string `json:"to,omitempty"`
	Amount int64  `json:"amount"`
}

// Receipts is a file to which a client appends each receipt before it goes on. It is
// the client's own, apart from the mesh: what is in it must be found in the accounts
// later, in the same order for each payer.
type Receipts struct {
	mu sync.Mutex
	f  *os.File
}

// OpenReceipts opens the file, which is made if need be. A line that the process
// before did not finish is left as it is: its call was not acknowledged to anybody.
func OpenReceipts(path string) (*Receipts, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	var last [1]byte
	if info.Size() > 0 {
		if _, err = f.ReadAt(last[:], info.Size()-1); err == nil && last[0] != '\n' {
			_, err = f.Write([]byte{'\n'})
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Receipts{f: f}, nil
}

// Add appends a receipt. Once it returns, the end of the process does not take it
// away any more.
func (r *Receipts) Add(receipt Receipt) error {
	line, err := json.Marshal(receipt)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err = r.f.Write(append(line, '\n'))
	return err
}

// Close closes the file.
func (r *Receipts) Close() error { return r.f.Close() }

// ReadReceipts gives what a file holds, in its order, and how many lines were not
// finished.
func ReadReceipts(path string) (list []Receipt, torn int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	for in := bufio.NewReader(f); ; {
		line, err := in.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var r Receipt
			if err != nil || json.Unmarshal(line, &r) != nil {
				torn++
			} else {
				list = append(list, r)
			}
		}
		if errors.Is(err, io.EOF) {
			return list, torn, nil
		}
		if err != nil {
			return list, torn, err
		}
	}
}
