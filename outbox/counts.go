package outbox

import (
	"fmt"
	"time"
)

// Counts are what a box has done since it was opened.
type Counts struct {
	Enqueued    uint64 `json:"enqueued"`    // calls taken
	Done        uint64 `json:"done"`        // of which were executed
	Dead        uint64 `json:"dead"`        // or given up
	Checkpoints uint64 `json:"checkpoints"` // made

	Executed   uint64 `json:"executed"`    // calls executed here, ordinary ones of Handle's methods included
	Duplicates uint64 `json:"duplicates"`  // deliveries of calls that had been executed
	BadHeaders uint64 `json:"bad_headers"` // calls whose metadata of a durable call could not be read
	Poisonous  uint64 `json:"poisonous"`   // deliveries refused because the process has died with the call too often
	NotHeld    uint64 `json:"not_held"`    // deliveries refused because the partition's state was not here yet

	Fetched       uint64 `json:"fetched"`        // partitions taken from other nodes
	OrphansServed uint64 `json:"orphans_served"` // partitions served though their holder may be one that is gone
	Yielded       uint64 `json:"yielded"`        // partitions let go of because another node had claimed them meanwhile
	Refused       uint64 `json:"refused"`        // calls of handlers that could not be taken: an id of another call
}

func (b *Box) count(add func(*Counts)) {
	b.mu.Lock()
	add(&b.counts)
	b.mu.Unlock()
}

// Status is how a box stands.
type Status struct {
	Dir        string    `json:"dir"`
	Pending    int       `json:"pending"`
	Blocked    int       `json:"blocked,omitempty"` // of the pending, those that wait for another of their key
	Failing    int       `json:"failing,omitempty"` // of the others, those whose latest attempt failed
	Done       int       `json:"done"`              // results kept
	Dead       int       `json:"dead"`
	Oldest     time.Time `json:"oldest,omitzero"` // when the first of the pending was taken
	LogBytes   int64     `json:"log_bytes"`
	Position   string    `json:"position"`          // the end of the log
	Checkpoint uint64    `json:"checkpoint"`        // the newest; 0: none
	Holds      int       `json:"holds"`             // partitions; -1: not known, the box is open to be read only
	Waiting    int       `json:"waiting,omitempty"` // partitions owned and not held
	Silent     []Silence `json:"silent,omitempty"`  // who may hold them, and does not answer
	Broken     string    `json:"broken,omitempty"`  // why no more is taken
	Counts     Counts    `json:"counts"`
}

// Status tells how the box stands.
func (b *Box) Status() Status {
	log := b.log.Stats()
	waiting, silent := b.waiting()
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Status{
		Dir: b.dir, Pending: b.pendingCalls, LogBytes: log.Bytes, Position: fmt.Sprint(log.End),
		Checkpoint: log.Checkpoint, Waiting: waiting, Silent: silent, Counts: b.counts,
	}
	if s.Holds = -1; b.ledger != nil {
		s.Holds = b.holds()
	}
	if b.broken != nil {
		s.Broken = b.broken.Error()
	}
	oldest := int64(0)
	for _, e := range b.index {
		switch e.status {
		case pending:
			if b.lanes[e.key].calls[0] != e {
				s.Blocked++
			} else if e.lastErr != "" {
				s.Failing++
			}
			if oldest == 0 || e.enqueued < oldest {
				oldest = e.enqueued
			}
		case done:
			s.Done++
		case dead:
			s.Dead++
		}
	}
	if oldest != 0 {
		s.Oldest = time.UnixMilli(oldest)
	}
	return s
}
