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
	switch err.Code {
	case rpc.Unavailable: // also of a call under which processes went down: its receivers count that
		return TryAgain
	case rpc.InvalidArgument, rpc.NotFound, rpc.AlreadyExists, rpc.PermissionDenied, rpc.FailedPrecondition, rpc.Unauthenticated:
		return GiveUp
	}
	if err.RetryAfter == rpc.NeverRetry { // whoever refused it knows
		return GiveUp
	}
	switch err.Code {
	case rpc.Canceled, rpc.DeadlineExceeded, rpc.ResourceExhausted, rpc.Internal, rpc.NotOwner:
		return TryAgain
	}
	return GiveUpLater // Unimplemented, and codes of a newer version
}

// judge asks the application.
func (b *Box) judge(err *rpc.Error) Verdict {
	if b.cfg.Judge != nil {
		return b.cfg.Judge(err)
	}
	return Judge(err)
}
