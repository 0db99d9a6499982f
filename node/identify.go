package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/transport"
)

// identify asks the process at addr who it is, by greeting it. Its refusals
// come in the words of package membership.
func (n *Node) identify(ctx context.Context, addr netip.AddrPort) (membership.Identity, error) {
	conn, err := n.endpoint.Dial(ctx, addr.String(), "")
	if err != nil {
		return membership.Identity{}, asMembership(err)
	}
	defer conn.Close()
	who := conn.Peer()
	return membership.Identity{Name: who.Name, Boot: who.Boot}, nil
}

func asMembership(err error) error {
	for _, pair := range [][2]error{
		{transport.ErrCluster, membership.ErrClusterMismatch},
		{transport.ErrGossipKey, membership.ErrGossipKeyMismatch},
		{transport.ErrVersion, membership.ErrProtocolMismatch},
	} {
		if errors.Is(err, pair[0]) {
			return fmt.Errorf("%w: %w", pair[1], err)
		}
	}
	return err
}
