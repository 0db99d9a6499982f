// Package node is a member of the mesh, to be embedded in a program: it joins
// a cluster by gossip, agrees with the others on who owns which key, serves
// methods, and carries calls to their destination.
//
//	n, err := node.New(node.Config{Name: "a", Bind: "10.0.0.1:7101", Seeds: []string{"10.0.0.2:7101"}})
//	Hello.Handle(n, func(ctx context.Context, req *HelloRequest) (*HelloReply, error) { ... })
//	err = n.Start(ctx)        // listens, joins, returns when ready
//	defer n.Stop(context.Background())
//	reply, err := Hello.Call(ctx, n, &HelloRequest{Name: "alice"}, rpc.Key("alice"))
//
// # Concurrency
//
// All methods of Node and Client are safe for concurrent use. A node's life is
// new, running, stopping, stopped, and goes one way only.
//
// # Failures
//
// A keyed call goes to the owner by this node's table. A peer that does not
// own the key by its own table refuses without executing, and the call goes on
// to the owner that it names, at most two hops; then, as after any failure that
// provably left the call unexecuted, it waits for the tables to change and is
// tried again until its deadline. When the outcome is unknown (the connection
// broke after the call was sent), idempotent methods are tried again and others
// fail with Unavailable.
//
// Keys are dealt out among all members that serve, whatever methods they have: a method that is
// called by key has to be registered on each of them. A member without it takes its service away
// from itself by SetServiceServing, or is an Observer; else calls to its keys are Unimplemented.
//
// Gossip gives no mutual exclusion: while a partition of the network lasts,
// both sides may serve one key, and for a moment around a change of members
// two nodes may disagree. What is promised is that a node executes a keyed call
// only if its own table, at that moment, says that it owns the key.
package node
