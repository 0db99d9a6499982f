package outbox

import (
	"fmt"

	"github.com/meshnode/meshnode/rpc"
)

// Verdict is what the error of an attempt means for its call.
type Verdict uint8

// The verdicts.
const (
	// TryAgain: it may pass. The call is tried until it expires.
	TryAgain Verdict = iota
	// GiveUpLater: as this cluster runs now it will not pass, but an upgrade that is
	// under way may change that. The call is a dead letter once its owner has refused
	// it for Config.GiveUpAfter.
	GiveUpLater
	// GiveUp: the same call would be refused again. It is a dead letter at once.
	GiveUp
)

// String names a verdict as docs/durable-calls.md does.
func (v Verdict) String() string {
	switch v {
	case TryAgain:
		return "tried again"
	case GiveUpLater:
		return "dead letter after `GiveUpAfter`"
	case GiveUp:
		return "dead letter at once"
	}
	return fmt.Sprintf("Verdict(%d)", uint8(v))
}

// Judge is the default of Config.Judge. docs/durable-calls.md has it as a table.
func Judge(err *rpc.Error) Verdict {
	if err.RetryAfter == rpc.NeverRetry { // whoever refused it knows
		return GiveUp
	}
	switch err.Code {
	case rpc.InvalidArgument, rpc.NotFound, rpc.AlreadyExists, rpc.PermissionDenied, rpc.FailedPrecondition, rpc.Unauthenticated:
		return GiveUp
	case rpc.Canceled, rpc.DeadlineExceeded, rpc.ResourceExhausted, rpc.Internal, rpc.Unavailable, rpc.NotOwner:
		return TryAgain
	}
	return GiveUpLater // Unimplemented, and codes of a newer version
}

// judge asks the application, whose function may panic: then the default counts.
func (b *Box) judge(err *rpc.Error) (v Verdict) {
	v = Judge(err)
	if b.cfg.Judge == nil {
		return v
	}
	_, failed := guarded(func() (any, error) { v = b.cfg.Judge(err); return nil, nil })
	if failed != nil {
		b.cfg.Logger.Error().Err(failed).Msg("Config.Judge failed; the default counts")
		return Judge(err)
	}
	return v
}
