// Package metrics counts and times what a node does, cheaply enough for every
// call, and writes it in the text format of Prometheus.
//
//	var calls metrics.Counter
//	var latency metrics.Histogram
//	calls.Add(1)
//	latency.Observe(time.Since(start))
//
//	w := metrics.NewWriter(out)
//	w.Family("mesh_calls_total", "Calls made.", metrics.KindCounter)
//	w.Counter(calls.Load(), "method", "greeter.Hello")
//	w.Histogram(...)
//	return w.Err()
//
// The usual client library would bring protobuf and a registry of globals, and
// resolves labels by a map on each use. Here labels are resolved by whoever holds
// the counters: a method or a peer has a struct of them.
//
// # Concurrency
//
// Counters and histograms take any number of goroutines and no locks; a Writer
// belongs to one. The package has no clock and starts nothing.
package metrics
