package mprpc

import (
	"errors"
	"fmt"

	"github.com/meshnode/meshnode/internal/wire"
)

// Errors that end a stream.
var (
	// errProtocol: bytes that are no MessagePack-RPC.
	errProtocol = errors.New("mprpc: protocol violation")
	// errTooLarge: a message exceeds MaxMessage.
	errTooLarge = errors.New("mprpc: message too large")
	// errSlowMessage: a message began and did not end in time.
	errSlowMessage = errors.New("mprpc: message took too long to arrive")
	// errSlowReader: the client does not take its answers.
	errSlowReader = errors.New("mprpc: client does not read its answers")
	// errOverloaded: as many bytes are held for clients as may be.
	errOverloaded = errors.New("mprpc: too many bytes held")
	// errTooManyConns: as many clients are connected as may be.
	errTooManyConns = errors.New("mprpc: too many connections")
	// errGone: the client closed the stream.
	errGone = errors.New("mprpc: client is gone")
	// errStopping: this node stops.
	errStopping = errors.New("mprpc: node is stopping")
)

// violation names what a parser found.
func violation(err error) error {
	if errors.Is(err, wire.ErrTooLarge) {
		return fmt.Errorf("%w: %w", errTooLarge, err)
	}
	return fmt.Errorf("%w: %w", errProtocol, err)
}
