// Package membership tells who is in the cluster: SWIM gossip by memberlist on
// the port that a node shares with its other traffic.
//
// A Cluster is this process's part. It finds the others by seeds, follows who
// joins, leaves and dies, and publishes what it knows as immutable snapshots:
//
//	c, err := membership.New(membership.Config{
//		Name: "a", Cluster: "prod",
//		Network: transport.System(), Packets: udp, Advertise: addr,
//		Seeds:   []string{"dns+mesh.internal:7101"},
//		Meta:    membership.Meta{Boot: membership.NewBoot(time.Now(), rnd), Zone: "eu-1"},
//		Identify: whoIs, // over the mesh protocol
//		OnChange: func(s *membership.Snapshot) { rebuild(s.Members) },
//	})
//	err = c.Start()   // gossip, alone
//	err = c.Join(ctx) // until a seed has taken this node in
//	...
//	err = c.SetState(membership.StateDraining)
//	err = c.Leave(ctx) // the others know at once
//	c.Stop()
//
// The owner of the port hands each inbound stream that starts with byte 244 to
// ServeStream.
//
// # Names
//
// A name belongs to one live process. A second one is refused at its Join with
// ErrNameTaken, found out before the first one hears of it. A process that
// crashed may come back under its name: at the same address at once, at
// another one as soon as the cluster has noticed the crash; Join waits for
// that. When two live processes of a name meet all the same, as when two
// clusters or the parts of one merge, the younger by boot id is told so on
// Failed; the older one only if no member knows it any more, as after a long
// pause in which another took its place.
//
// # Concurrency
//
// All methods may be called at any time from any goroutine. Callbacks of
// memberlist run under its locks; they only note what changed. OnChange runs
// on a goroutine of its own, in order, a few milliseconds after the last
// change of a burst.
//
// # Failures
//
// A crash is noticed within Profile.DetectionTime, usually in a third of it.
// Until then the member stays in the snapshot, also while it is suspect. A
// partition makes each side drop the other. Every rejoin interval (Local 2 s,
// LAN 15 s, WAN 60 s) each node tries one seed or lost member that should be
// there and is not, so that parts become one again however long they were
// apart, up to a day. A node whose seeds don't answer goes on trying and is
// not Joined; the same holds for one that has no seeds but knows members of an
// earlier run (Config.Known). Nodes that know each other and are all started at
// once become one cluster. A node that all others are gone from tries its seeds as at the
// start.
//
// A seed of another cluster, gossip key, protocol version or other table
// parameters is refused before anything is exchanged, with a named error and
// one line in the log. Packets and streams that are not gossip of this cluster
// are dropped and reported at most every ten seconds.
//
// Stop waits for the goroutines of this package. Those of memberlist that are
// in the middle of a probe end with it, a few probe intervals later at most,
// without a socket to use and without effect.
package membership
