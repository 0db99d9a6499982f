// Command meshnode runs a node of the mesh, and asks and uses nodes that run.
//
//	meshnode run         runs one node until it is told to stop
//	meshnode dev         runs a cluster of processes on this machine
//	meshnode sim         runs a whole mesh in virtual time, with faults
//	meshnode members     lists the members that a node knows
//	meshnode health      says by its exit status whether a node is well
//	meshnode owner       shows who owns keys
//	meshnode explain     asks every member where a key belongs
//	meshnode ring        shows how keys are divided, and what the last changes moved
//	meshnode call        calls a method, JSON in and JSON out
//	meshnode route       routes every line of a file as a key
//	meshnode outbox      shows durable calls, and decides about dead letters
//	meshnode stats       shows what a node has counted
//	meshnode leave       makes a node leave
//	meshnode cert        makes certificates for TLS
//	meshnode keygen      makes a gossip key
//	meshnode version     prints the version
//	meshnode completion  prints completions for shells
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
