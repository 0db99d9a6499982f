package membership

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// compound puts messages into one, as memberlist does.
func compound(messages ...string) string {
	b := []byte{compoundMessage, byte(len(messages))}
	for _, m := range messages {
		b = binary.BigEndian.AppendUint16(b, uint16(len(m)))
	}
	return string(b) + strings.Join(messages, "")
}

// summed puts a checksum before a message.
func summed(message string) string {
	b := binary.BigEndian.AppendUint32([]byte{crcMessage}, crc32.ChecksumIEEE([]byte(message)))
	return string(b) + message
}

// labelled puts a cluster's name before a message.
func labelled(t testing.TB, message string) string {
	t.Helper()
	b, err := memberlist.AddLabelHeaderToPacket([]byte(message), "lab")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const (
	aliveA = "\x04A is alive"
	aliveB = "\x04B is alive"
	probe  = "\x00ping"
	dead   = "\x05A is dead"
)

func TestRepeatsAreDropped(t *testing.T) {
	wrong := []byte(summed(aliveA))
	wrong[2] ^= 1
	for _, c := range []struct {
		name    string
		packets []string // one after the other
		want    string   // what is left of the last one
	}{
		{"news", []string{aliveA}, aliveA},
		{"told again", []string{aliveA, aliveA}, ""},
		{"other news", []string{aliveA, aliveB}, aliveB},
		{"with a checksum", []string{aliveA, summed(aliveA)}, ""},
		{"in a label", []string{labelled(t, aliveA), labelled(t, aliveA)}, ""},
		{"a probe comes again", []string{probe, probe}, probe},
		{"a death comes again", []string{dead, dead}, dead},
		{"all of several", []string{compound(aliveA, aliveB), compound(aliveB, aliveA)}, ""},
		{"some of several", []string{aliveA, compound(probe, aliveA, dead, aliveB)}, compound(probe, dead, aliveB)},
		{"twice in one", []string{compound(aliveA, probe, aliveA)}, compound(aliveA, probe)},
		{"none of several", []string{compound(aliveA, probe), compound(probe, aliveB)}, compound(probe, aliveB)},
		{"label and checksum", []string{aliveA, labelled(t, summed(compound(aliveA, probe)))}, labelled(t, compound(probe))},
		{"nothing new, label and checksum", []string{aliveA, labelled(t, summed(compound(aliveA)))}, ""},
		{"all new, label and checksum", []string{labelled(t, summed(compound(aliveA)))}, labelled(t, summed(compound(aliveA)))},
		{"a wrong checksum is memberlist's business", []string{aliveA, string(wrong)}, string(wrong)},
		{"and it is no news", []string{string(wrong), aliveA}, aliveA},
		{"cut short", []string{aliveA, compound(aliveA, aliveB)[:20]}, compound(aliveA, aliveB)[:20]},
		{"more promised than there is", []string{aliveA, "\x07\xff\x00\x01\x04"}, "\x07\xff\x00\x01\x04"},
		{"empty parts", []string{aliveA, compound("", aliveA, "")}, compound("", "")},
		{"several of none", []string{"\x07\x00rest", "\x07\x00rest"}, "\x07\x00rest"},
		{"a broken label", []string{"\xf4\x20", "\xf4\x20"}, "\xf4\x20"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, now := newRepeats(), time.Now()
			var got []byte
			for _, p := range c.packets {
				got = r.strip([]byte(p), now)
			}
			if string(got) != c.want || (got == nil) != (c.want == "") {
				t.Errorf("left %q, want %q", got, c.want)
			}
		})
	}
}

// After somebody died, left or contested a name everything is heard again.
func TestRepeatsForget(t *testing.T) {
	r, now := newRepeats(), time.Now()
	for range 3 {
		if r.strip([]byte(aliveA), now) == nil {
			t.Fatal("forgotten news was dropped")
		}
		now = now.Add(repeatWindow) // so that it is in the former window
		r.strip([]byte(probe), now)
		if r.strip([]byte(aliveA), now) != nil {
			t.Fatal("news was not dropped")
		}
		r.forget()
	}
}

// News counts as told for one window at least and two at most, and fewer when there
// is much of it.
func TestRepeatsWindow(t *testing.T) {
	r, start := newRepeats(), time.Now()
	for _, c := range []struct {
		at   time.Duration
		kept bool
	}{
		{0, true},
		{repeatWindow - 1, false},
		{repeatWindow, false}, // it is in the window before
		{2*repeatWindow - 1, false},
		{2 * repeatWindow, true},  // a repeat did not prolong it
		{5 * repeatWindow, false}, // in the window before: no packet came
		{7 * repeatWindow, true},
	} {
		if kept := r.strip([]byte(aliveA), start.Add(c.at)) != nil; kept != c.kept {
			t.Errorf("after %v: kept is %v", c.at, kept)
		}
	}
	now := start.Add(8 * repeatWindow)
	r.strip([]byte(probe), now)
	now = now.Add(repeatWindow)
	r.strip([]byte(probe), now)
	if r.strip([]byte(aliveA), now) == nil {
		t.Error("news of two windows ago was dropped")
	}
	for i := range 3 * repeatMost {
		r.strip(binary.BigEndian.AppendUint32([]byte{aliveMessage}, uint32(i)), now)
		if len(r.now) > repeatMost || len(r.before) > repeatMost {
			t.Fatalf("%d and %d remembered", len(r.now), len(r.before))
		}
	}
	if r.strip([]byte(aliveA), now) == nil {
		t.Error("news from before much other news was dropped")
	}
}

// parts reads a packet in the plainest way; not ok if it is not well-formed.
func parts(packet []byte) (found [][]byte, ok bool) {
	body, _, err := memberlist.RemoveLabelHeaderFromPacket(packet)
	if err != nil {
		return nil, false
	}
	if len(body) > crcHeader && body[0] == crcMessage {
		body = body[crcHeader:]
	}
	if len(body) < 3 || body[0] != compoundMessage {
		return [][]byte{body}, true
	}
	at := 2 + 2*int(body[1])
	for i := range int(body[1]) {
		if len(body) < 2*i+4 {
			return nil, false
		}
		size := int(binary.BigEndian.Uint16(body[2*i+2:]))
		if at+size > len(body) {
			return nil, false
		}
		found = append(found, body[at:at+size])
		at += size
	}
	return found, true
}

// Whatever comes: what is left are parts of the packet, in their order; what is
// missing is news of the living that was there before; and the packet itself is
// not touched.
func FuzzStrip(f *testing.F) {
	for _, second := range []string{
		aliveA, compound(aliveA, probe, aliveB), summed(compound(aliveB, aliveA)), labelled(f, summed(compound(aliveA, dead))),
		compound("", aliveA)[:8], "\x07\xff\xff\xff\x04", "\x0c\x00\x00\x00\x00\x04", "\xf4\x01x\x04", compound(),
	} {
		f.Add([]byte(compound(aliveA, aliveA)), []byte(second))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		r, now := newRepeats(), time.Now()
		told := map[string]bool{}
		for _, packet := range [][]byte{first, second} {
			before := bytes.Clone(packet)
			left := r.strip(packet, now)
			if !bytes.Equal(packet, before) {
				t.Fatal("the packet was changed")
			}
			checkLeft(t, packet, left, told)
		}
	})
}

// checkLeft holds what is left of a packet against what was told.
func checkLeft(t *testing.T, packet, left []byte, told map[string]bool) {
	t.Helper()
	all, ok := parts(packet)
	if !ok {
		if !bytes.Equal(left, packet) {
			t.Fatalf("a packet that is no good was changed: %q", left)
		}
		for i := range packet { // it may be read in part
			for j := i; j <= len(packet) && len(packet) < 300; j++ {
				told[string(packet[i:j])] = true
			}
		}
		return
	}
	kept, repeats := [][]byte(nil), false
	if left != nil {
		if kept, ok = parts(left); !ok {
			t.Fatalf("what is left is no good: %q", left)
		}
	}
	for _, part := range all {
		switch {
		case len(kept) > 0 && bytes.Equal(part, kept[0]):
			kept = kept[1:]
		case len(part) == 0 || part[0] != aliveMessage || !told[string(part)]:
			t.Fatalf("lost %q", part)
		default:
			repeats = true
		}
		told[string(part)] = true
	}
	if len(kept) > 0 {
		t.Fatalf("out of order, or not there: %q", kept)
	}
	if !repeats && !bytes.Equal(left, packet) {
		t.Fatalf("nothing was repeated, and %q became %q", packet, left)
	}
}
