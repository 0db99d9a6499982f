// Command guest is what package exact runs: a cluster of nodes in one process,
// over a network in memory, with a line of trace for everything that happens.
//
//	guest -nodes 30 -duration 60s -trace
//
// It is an ordinary program. Built for wasip1 and run by exact.Run, its clock is
// virtual and all its randomness comes from one seed, so the trace is the same
// in every run. It uses no testing/synctest: there is nothing left to fake.
//
// # Concurrency
//
// One process is one cluster.
//
// # Failures
//
// A node that does not start, or nodes that don't agree in the end, give a
// message on standard error and exit status 1.
package main
