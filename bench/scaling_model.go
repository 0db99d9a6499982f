package main

import (
	"math"
	"time"
)

// The profile lan, as membership/profile.go has it; what is measured shows that it
// still does. The rest is memberlist's.
const (
	probeEvery    = time.Second
	gossipEvery   = 200 * time.Millisecond
	gossipFanout  = 6
	packetBytes   = 1400
	pushPullLeast = 30 * time.Second
	pushPullFlat  = 32 // members up to whom the interval is the least
	suspicionMult = 4
	suspicionMax  = 6
	retransmit    = 8
	quietLeast    = 5 * time.Millisecond // of membership/publish.go, up to quietFlat members
	quietFlat     = 50
)

// retransmits is how often each node tells a piece of news: memberlist's
// RetransmitMult * ceil(log10(n+1)).
func retransmits(n float64) float64 { return retransmit * math.Ceil(math.Log10(n+1)) }

// pushPullEvery is between two push/pulls that a node begins: memberlist's
// PushPullInterval * (ceil(log2 n - log2 32) + 1).
func pushPullEvery(n int) time.Duration {
	if n <= pushPullFlat {
		return pushPullLeast
	}
	return pushPullLeast * time.Duration(math.Ceil(math.Log2(float64(n))-math.Log2(pushPullFlat))+1)
}

// suspicion is the shortest time that a suspect has to refute, which it has when
// SuspicionMult-2 others confirm: Lifeguard's minimum. The longest is suspicionMax
// times as much.
func suspicion(n float64) float64 {
	return suspicionMult * max(1, math.Log10(n)) * probeEvery.Seconds()
}

// firstProbe is the mean time until some node probes a dead one: each of the others
// does so once in about n-1 periods, at its own phase. SWIM counts whole periods, and
// with probes at random 1/(1-e^-1) = e/(e-1) = 1.58 of them; the time itself is one.
func firstProbe(float64) float64 { return probeEvery.Seconds() }

// quietFor is how long a node waits for more news before it uses what it heard.
func quietFor(n float64) float64 { return quietLeast.Seconds() * max(1, n/quietFlat) }

// detection is when the first node takes a dead one for dead, in the mean: until it
// is probed, until the probe has failed, and the suspicion.
func detection(n float64) float64 { return firstProbe(n) + probeEvery.Seconds() + suspicion(n) }

// dropping is when the first node drops it: it waits for more news.
func dropping(n float64) float64 { return detection(n) + quietFor(n) }

// mostGossip is how many bytes a node can send in datagrams in a second: full ones
// to its fanout each interval, and a probe and an answer that news ride on.
func mostGossip(float64) float64 {
	return packetBytes * (gossipFanout/gossipEvery.Seconds() + 2/probeEvery.Seconds())
}

// listsOfJoin is how many lists of all members a new one is sent: by its three
// seeds, which it asks before it joins, by the one that it joins, whom it then asks
// whether it is in.
const listsOfJoin = 5.0

// Lists that move when a process returns: eight of its own join, in which it takes
// two exchanges, one of them sent by itself; and four for each node that looks for
// the lost member after it is back and before that node has heard, three of them
// sent by the one that returned: the node asks for the list, joins, and asks again.
const (
	listsOfReturn   = 8.0
	listsOfReturner = 1.0
	listsOfSearch   = 4.0
	listsToAsker    = 3.0
)

// largestShare is the bound of a member's partitions over the average: with the
// default slack, rounded to the nearest, at least 1.
func largestShare(members, partitions float64) float64 {
	const slack = 1.05
	share := partitions / members
	return max(1, math.Round(slack*share)) / share
}
