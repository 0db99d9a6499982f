// Package simtime runs a function in virtual time: time passes only while every
// goroutine of the function waits, and then at once. Outside wasip1 that is a
// bubble of testing/synctest; there, the host's clock is virtual already
// (internal/exact).
//
// What a bubble does not know stops its time: a goroutine in a system call (real
// sockets, files that block, pipes), one that waits for a mutex whose holder
// sleeps, and channels that were made outside. A watchdog, which lives outside,
// tells of that with the stacks of all goroutines, in place of a run that hangs.
package simtime
