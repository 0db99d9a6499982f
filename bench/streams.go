package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"time"
)

// Stream is one bidirectional stream to a server that echoes each message. Send
// and CloseSend belong to one goroutine, Recv to another.
type Stream interface {
	// Send sends a message, which nobody changes later.
	Send(body []byte) error
	// CloseSend says that no message follows.
	CloseSend() error
	// Recv gives the next echoed message, valid until the next Recv; io.EOF
	// after the last.
	Recv() ([]byte, error)
	// Close ends client and server. Neither Send nor Recv is under way, or both
	// are to be cut short.
	Close()
}

// streamType is one row of the table of stream peers.
type streamType struct {
	name  string
	start func(ctx context.Context) (Stream, error)
}

// streamTypes are all peers that have streams.
func streamTypes() []streamType {
	return []streamType{
		{"mesh-stream", startMeshStream},
		{grpcName, startGRPCStream},
	}
}

// streamPlan is what one run of streams measures.
type streamPlan struct {
	peers    []streamType
	messages int // per stream
	size     int // bytes of a message
	rounds   int
}

// streamRow is one line of the result: medians over the rounds.
type streamRow struct {
	Kind     string  `json:"kind"` // "stream"
	Peer     string  `json:"peer"`
	Size     int     `json:"size"`
	Messages int     `json:"messages"`
	Rate     float64 `json:"messages_per_s"` // sent, echoed and received
	CPU      float64 `json:"cpu_us"`         // per message; 0: the system doesn't say
	Allocs   float64 `json:"allocs"`         // per message
	Heap     float64 `json:"heap_peak_kib"`  // live and dead objects, at most
	Ratio    float64 `json:"ratio_to_grpc,omitempty"`
}

// streamSample is what one stream gave.
type streamSample struct {
	rate, cpu, allocs, heap float64
}

// run goes over the peers once a round, each time another one first.
func (p streamPlan) run(ctx context.Context, progress io.Writer) ([]streamRow, error) {
	results := make(map[string][]streamSample)
	for round := range p.rounds {
		for k := range p.peers {
			peer := p.peers[(k+round)%len(p.peers)]
			s, err := p.measure(ctx, peer)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", peer.name, err)
			}
			results[peer.name] = append(results[peer.name], s)
			_, _ = fmt.Fprintf(progress, "round %d of %d: %s, %s messages/s\n", round+1, p.rounds, peer.name, grouped(s.rate))
		}
	}
	var rows []streamRow
	for name, samples := range results {
		of := func(value func(streamSample) float64) float64 { return medianOf(samples, value) }
		var ratios []float64
		for i := range min(len(samples), len(results[grpcName])) {
			ratios = append(ratios, samples[i].rate/results[grpcName][i].rate)
		}
		rows = append(rows, streamRow{
			Kind: "stream", Peer: name, Size: p.size, Messages: p.messages,
			Rate:   of(func(s streamSample) float64 { return s.rate }),
			CPU:    of(func(s streamSample) float64 { return s.cpu }),
			Allocs: of(func(s streamSample) float64 { return s.allocs }),
			Heap:   of(func(s streamSample) float64 { return s.heap }),
			Ratio:  median(ratios),
		})
	}
	slices.SortFunc(rows, func(a, b streamRow) int { return cmp.Compare(b.Rate, a.Rate) })
	return rows, nil
}

// measure sends all messages from one goroutine and receives their echoes in
// another, while a third looks at the heap.
func (p streamPlan) measure(ctx context.Context, peer streamType) (streamSample, error) {
	s, err := peer.start(ctx)
	if err != nil {
		return streamSample{}, err
	}
	defer s.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, lost+time.Duration(p.messages)*100*time.Microsecond,
		errors.New("the stream makes less than 10,000 messages/s"))
	defer cancel()
	bodies := streamBodies(p.size)
	runtime.GC()
	before := readMeters()
	ended := make(chan error, 2)
	go func() { ended <- sendAll(s, bodies, p.messages) }()
	go func() { ended <- receiveAll(s, bodies, p.messages) }()
	var heap uint64
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for left := 2; left > 0; {
		select {
		case err := <-ended:
			if err != nil {
				return streamSample{}, err
			}
			left--
		case <-look.C:
		case <-ctx.Done():
			return streamSample{}, context.Cause(ctx)
		}
		heap = max(heap, heapObjects())
	}
	after := readMeters()
	n := float64(p.messages)
	return streamSample{
		rate:   n / after.at.Sub(before.at).Seconds(),
		cpu:    micros(after.cpu-before.cpu) / n,
		allocs: float64(after.mallocs-before.mallocs) / n,
		heap:   float64(heap) / 1024,
	}, nil
}

func heapObjects() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// streamBodies are messages that are sent in turn. They differ at both ends, so
// that one that is lost, doubled or out of order shows.
func streamBodies(size int) [][]byte {
	var all [][]byte
	for i := range 251 {
		all = append(all, bodyOf(size, i<<8|i))
	}
	return all
}

func sendAll(s Stream, bodies [][]byte, messages int) error {
	for i := range messages {
		if err := s.Send(bodies[i%len(bodies)]); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	return s.CloseSend()
}

func receiveAll(s Stream, bodies [][]byte, messages int) error {
	for i := range messages {
		got, err := s.Recv()
		if err == nil {
			err = checkReply(got, bodies[i%len(bodies)])
		}
		if err != nil {
			return fmt.Errorf("echo %d: %w", i, err)
		}
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the last of %d echoes: %w", messages, cmp.Or(err, errors.New("one more")))
	}
	return nil
}

func writeStreamTable(w io.Writer, rows []streamRow) error {
	if len(rows) == 0 {
		return nil
	}
	lines := [][]string{{"peer", "messages/s", "CPU µs/message", "allocs/message", "heap at most, KiB", "to grpc-go"}}
	for _, r := range rows {
		lines = append(lines, []string{
			r.Peer, grouped(r.Rate), short(r.CPU), strconv.FormatFloat(r.Allocs, 'f', 1, 64), grouped(r.Heap),
			fraction(r.Ratio),
		})
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "one bidirectional stream, %s messages of %s\n", grouped(float64(rows[0].Messages)), sizeText(rows[0].Size))
	align(&b, lines)
	_, err := w.Write(b.Bytes())
	return err
}
