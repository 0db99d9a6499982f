package membership_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/transport"
)

// Two nodes in one process find each other.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	network := transport.System()
	rnd := rand.New(rand.NewPCG(1, 2))
	who := map[netip.AddrPort]membership.Identity{} // stands for the mesh protocol
	var seeds []string
	for _, name := range []string{"alice", "bob"} {
		streams, err := network.Listen(ctx, "127.0.0.1:0")
		if err != nil {
			fmt.Println(err)
			return
		}
		defer streams.Close()
		packets, err := network.ListenPacket(ctx, streams.Addr().String())
		if err != nil {
			fmt.Println(err)
			return
		}
		defer packets.Close()

		cfg := membership.Config{
			Name: name, Cluster: "example", Profile: membership.Local, Seeds: seeds,
			Network: network, Packets: packets, Advertise: streams.Addr().(*net.TCPAddr).AddrPort(),
			Meta: membership.Meta{Boot: membership.NewBoot(time.Now(), rnd)},
			Identify: func(_ context.Context, addr netip.AddrPort) (membership.Identity, error) {
				return who[addr], nil
			},
		}
		who[cfg.Advertise] = membership.Identity{Name: name, Boot: cfg.Meta.Boot}
		c, err := membership.New(cfg)
		if err != nil {
			fmt.Println(err)
			return
		}
		if err := c.Start(); err != nil {
			fmt.Println(err)
			return
		}
		defer c.Stop()
		go func() {
			for conn, err := streams.Accept(); err == nil; conn, err = streams.Accept() {
				c.ServeStream(conn)
			}
		}()
		if err := c.Join(ctx); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(name, "sees", c.Snapshot().Names())
		seeds = []string{cfg.Advertise.String()}
	}
	// Output:
	// alice sees [alice]
	// bob sees [alice bob]
}
