package outbox

import (
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/meshnode/meshnode/internal/disk"
	"github.com/meshnode/meshnode/rpc"
)

// Defaults of Config.
const (
	DefaultExpire      = 24 * time.Hour
	DefaultRetention   = time.Hour
	DefaultAttempt     = 5 * time.Second
	DefaultConcurrency = 256
	DefaultMaxPending  = 10_000_000
	DefaultMaxResults  = 100_000
	DefaultCheckpoint  = 64 << 20
	DefaultHandover    = 10 * time.Second
	DefaultGiveUpAfter = 10 * time.Minute
	DefaultMaxCrashes  = 3
)

// Orphans says what becomes of partitions whose holder does not come back.
type Orphans struct {
	// ServeAfter is how long a partition's new owner looks for its holder before
	// it begins with an empty state: effects that only the lost holder knows are
	// lost, and calls that it had executed may be executed again. Each such
	// partition is counted (orphans_served) and logged. 0: it waits until the
	// holder is back, or Box.Abandon says that it will not be.
	ServeAfter time.Duration
}

// Config says how a box works. The zero value works.
type Config struct {
	// Expire is how long a call is tried that says nothing itself; it is a dead
	// letter then. 0: DefaultExpire.
	Expire time.Duration
	// Retention is how long the sender keeps results for Await, and how much longer
	// than a call's expiry the receiver remembers that it has executed it. 0:
	// DefaultRetention.
	Retention time.Duration
	// MaxResults is how many results are kept, in memory; the oldest go first. 0:
	// DefaultMaxResults.
	MaxResults int
	// Attempt is how long one attempt may take. 0: DefaultAttempt.
	Attempt time.Duration
	// BackoffMin and BackoffMax bound the pause between attempts, which doubles.
	// 0: 50 ms and 5 s.
	BackoffMin, BackoffMax time.Duration
	// Concurrency is how many calls are under way at a time; those of one key come
	// one after the other. 0: DefaultConcurrency.
	Concurrency int
	// MaxPending is how many calls the box holds that have not ended; more are
	// refused with ResourceExhausted. 0: DefaultMaxPending.
	MaxPending int
	// Checkpoint is how many bytes are logged before a checkpoint is made, at the
	// least. 0: DefaultCheckpoint.
	Checkpoint int64
	// Judge says what the error of an attempt means for its call. It must not wait.
	// Nil: the function Judge.
	Judge func(*rpc.Error) Verdict
	// GiveUpAfter is how long the owner of a call's key may refuse the call with an
	// error whose verdict is GiveUpLater, such as Unimplemented, from the first such
	// refusal in this process: long enough for a rolling upgrade. 0:
	// DefaultGiveUpAfter.
	GiveUpAfter time.Duration
	// MaxCrashes is how often the process of a node may die while a handler executes
	// a call; the call is refused after that, and is a dead letter. 0:
	// DefaultMaxCrashes; negative: it is executed again and again.
	MaxCrashes int
	// Handover is how long a leaving node waits for others to fetch what it holds.
	// 0: DefaultHandover.
	Handover time.Duration
	// Orphans says what becomes of partitions whose holder is gone.
	Orphans Orphans
	// ReadOnly opens the sender's side to look at it, also while a process has it open:
	// nothing is changed, nothing taken, and Start is refused.
	ReadOnly bool
	// RandSeed seeds everything random in the box: its number, and the jitter of
	// pauses. 0: seeded by the start.
	RandSeed uint64
	// Logger takes what the box has to say. Zero: nothing is logged.
	Logger zerolog.Logger

	fs disk.FS // of the redo log; nil: the system's
}

// ErrConfig tells of a Config that Open cannot use.
var ErrConfig = errors.New("outbox: bad configuration")

func (c Config) withDefaults() (Config, error) {
	for _, d := range []struct {
		name  string
		value *time.Duration
		or    time.Duration
	}{
		{"Expire", &c.Expire, DefaultExpire},
		{"Retention", &c.Retention, DefaultRetention},
		{"Attempt", &c.Attempt, DefaultAttempt},
		{"BackoffMin", &c.BackoffMin, 50 * time.Millisecond},
		{"BackoffMax", &c.BackoffMax, 5 * time.Second},
		{"Handover", &c.Handover, DefaultHandover},
		{"GiveUpAfter", &c.GiveUpAfter, DefaultGiveUpAfter},
		{"Orphans.ServeAfter", &c.Orphans.ServeAfter, 0},
	} {
		if *d.value < 0 {
			return c, fmt.Errorf("%w: %s is %v; want a positive duration, or 0 for %v", ErrConfig, d.name, *d.value, d.or)
		}
		if *d.value == 0 {
			*d.value = d.or
		}
	}
	if c.BackoffMax < c.BackoffMin {
		return c, fmt.Errorf("%w: BackoffMax %v is below BackoffMin %v", ErrConfig, c.BackoffMax, c.BackoffMin)
	}
	if c.Concurrency < 0 || c.MaxPending < 0 || c.MaxResults < 0 || c.Checkpoint < 0 {
		return c, fmt.Errorf("%w: Concurrency, MaxPending, MaxResults and Checkpoint cannot be negative", ErrConfig)
	}
	if c.Concurrency == 0 {
		c.Concurrency = DefaultConcurrency
	}
	if c.MaxPending == 0 {
		c.MaxPending = DefaultMaxPending
	}
	if c.MaxCrashes == 0 {
		c.MaxCrashes = DefaultMaxCrashes
	}
	if c.MaxResults == 0 {
		c.MaxResults = DefaultMaxResults
	}
	if c.Checkpoint == 0 {
		c.Checkpoint = DefaultCheckpoint
	}
	return c, nil
}
