// Command meshnode runs a node of the mesh, and asks and uses nodes that run.
//
//	meshnode run      runs one node until it is told to stop
//	meshnode dev      runs a cluster of processes on this machine
//	meshnode members  lists the members that a node knows
//	meshnode owner    tells who owns keys
//	meshnode call     calls a method, JSON in and JSON out
//	meshnode route    routes every line of a file as a key
//	meshnode leave    makes a node leave
//	meshnode keygen   makes a gossip key
//
// All of it is made of package node: a program that embeds a node can do the
// same. Any node's port takes the commands, over the mesh protocol itself.
//
// # Flags and environment
//
// Every flag has an environment variable: --gossip-key is MESHNODE_GOSSIP_KEY.
// A flag that is given wins. An empty variable counts as absent.
//
// # Failures
//
// The exit status is 0 for success, 1 for a failure, 2 for a command line that
// cannot be meant, and 130 when a second SIGINT or SIGTERM cuts short what the
// first one asked to end. A failure is one line on stderr or, with -o json,
// {"error":{"code":"NotFound","message":"..."}}. The code is one of package
// rpc's.
package main
