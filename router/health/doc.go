// Package health finds nodes that answer badly, from nothing but what calls to
// them meet, and has them left out for a while.
//
//	d := health.New(health.Config{})
//	p := d.Peer()
//	d.Record(p, now, ok, latency)  // after each call
//	if p.Ejected(now) { … }        // before each call that may go elsewhere
//
// A node is ejected for failures in a row, for a success rate far below that of
// the others, or for a latency far above theirs. The criteria and their bounds are
// those of Envoy's outlier detection. Each time again it stays out longer, and
// comes back on probation: its next failure ejects it again. At most a third of
// the nodes are out at a time, so that a bad judgement, or trouble of the caller's
// own, cannot take away everybody.
//
// # Concurrency
//
// All methods may be called from any number of goroutines. Record costs a few
// atomic operations; whoever comes first after an interval compares the nodes.
// The package has no clock and starts nothing.
package health
