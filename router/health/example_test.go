package health_test

import (
	"fmt"
	"time"

	"github.com/meshnode/meshnode/router/health"
)

// A peer that fails five times in a row is left out for a while.
func Example() {
	d := health.New(health.Config{})
	peers := []*health.Peer{d.Peer(), d.Peer(), d.Peer()}
	for range 5 {
		d.Record(peers[0], 0, false, 0)
	}
	fmt.Println(peers[0].Ejected(0), peers[0].Ejected(6*time.Second), d.Ejections())
	// Output: true false 1
}
