package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// format is the version of what this package writes into the file.
const format = 1

// Buckets at the top of the file. That of the format sorts first, so that whoever reads the file in order knows it
// before all else.
var (
	bucketFormat   = []byte("!format")  // "version" -> u32; in this shape for all versions
	bucketFollow   = []byte("follow")   // sequence number u64 -> follow-up
	bucketHoldings = []byte("holdings") // partition u32 -> holding
	bucketParts    = []byte("parts")    // partition u32 -> bucket of what belongs to it
	bucketNotes    = []byte("notes")    // name -> whatever the node notes for itself
	bucketStages   = []byte("stages")   // partition u32 -> stage of one that arrives; its bucket in parts grows
)

var (
	keyVersion = []byte("version")
	keyNext    = []byte("next") // of bucketFormat: the next number of a follow-up, u64
)

// First bytes of the keys in a partition's bucket.
const (
	kindApp     = 'a' // length of the bucket's name u8, name, key -> value of the application
	kindCrash   = 'c' // id -> how often the process died while it executed the call
	kindDone    = 'd' // id -> outcome of a call
	kindHorizon = 'h' // alone -> u64 ms: what expired up to then may have been forgotten
)

var (
	crcTable = crc32.MakeTable(crc32.Castagnoli)
	errFrame = errors.New("checksum of a value differs")
)

// noPartition stands for the partition in the checksum of what belongs to none.
const noPartition = ^uint32(0)

// checksum covers where a value belongs, so that one at the wrong place is found.
func checksum(bucket []byte, partition uint32, key, payload []byte) uint32 {
	var head [12]byte
	binary.LittleEndian.PutUint32(head[:], partition)
	binary.LittleEndian.PutUint32(head[4:], uint32(len(bucket)))
	binary.LittleEndian.PutUint32(head[8:], uint32(len(key)))
	sum := crc32.Update(0, crcTable, head[:])
	sum = crc32.Update(sum, crcTable, bucket)
	sum = crc32.Update(sum, crcTable, key)
	return crc32.Update(sum, crcTable, payload)
}

// seal returns a copy of payload with its checksum at the end.
func seal(bucket []byte, partition uint32, key, payload []byte) []byte {
	out := make([]byte, 0, len(payload)+4)
	out = append(out, payload...)
	return binary.LittleEndian.AppendUint32(out, checksum(bucket, partition, key, payload))
}

// unseal returns the part of value that was sealed, not copied.
func unseal(bucket []byte, partition uint32, key, value []byte) ([]byte, error) {
	n := len(value) - 4
	if n < 0 || binary.LittleEndian.Uint32(value[n:]) != checksum(bucket, partition, key, value[:n]) {
		return nil, errFrame
	}
	return value[:n:n], nil
}

// partitionKey is big endian, so that partitions are in order.
func partitionKey(p uint32) []byte { return binary.BigEndian.AppendUint32(nil, p) }

// checkEntry holds each value of a file against its checksum, and against the shape that it must have.
type checkEntry struct {
	version uint32 // 0 as long as it was not come to
	entries int
	accused bool // there are calls with which the process has died
}

func (c *checkEntry) visit(e entry) error {
	c.entries++
	switch len(e.path) {
	case 0:
		return c.top(e)
	case 1:
		return c.record(e)
	case 2:
		if e.bucket || string(e.path[0]) != string(bucketParts) || len(e.path[1]) != 4 {
			return fmt.Errorf("unknown bucket %q", e.path)
		}
		partition := binary.BigEndian.Uint32(e.path[1])
		payload, err := unseal(bucketParts, partition, e.key, e.value)
		if err != nil {
			return err
		}
		c.accused = c.accused || accuses(e.key)
		return checkPair(e.key, payload)
	}
	return fmt.Errorf("unknown bucket %q", e.path)
}

// accuses reports whether the key of a pair is that of crashes.
func accuses(key []byte) bool { return len(key) > 0 && key[0] == kindCrash }

func (c *checkEntry) top(e entry) error {
	if !e.bucket {
		return fmt.Errorf("value outside of buckets")
	}
	if string(e.key) != string(bucketFormat) && c.version == 0 {
		return fmt.Errorf("no format before bucket %q", e.key)
	}
	for _, known := range [][]byte{bucketFormat, bucketFollow, bucketHoldings, bucketParts, bucketStages, bucketNotes} {
		if string(known) == string(e.key) {
			return nil
		}
	}
	return fmt.Errorf("unknown bucket %q", e.key)
}

// record checks an entry of one of the buckets at the top.
func (c *checkEntry) record(e entry) error {
	name := string(e.path[0])
	if e.bucket != (name == string(bucketParts)) {
		return fmt.Errorf("bucket and value confused in %q", name)
	}
	switch name {
	case string(bucketParts):
		if len(e.key) != 4 {
			return fmt.Errorf("bucket of no partition")
		}
		return nil
	case string(bucketFormat), string(bucketFollow), string(bucketNotes):
		payload, err := unseal(e.path[0], noPartition, e.key, e.value)
		switch {
		case err != nil:
			return err
		case name == string(bucketFollow):
			_, err = decodeFollow(e.key, payload)
		case string(e.key) == string(keyVersion):
			c.version, err = decodeVersion(payload)
		}
		return err
	}
	if len(e.key) != 4 {
		return fmt.Errorf("record of no partition")
	}
	payload, err := unseal(e.path[0], binary.BigEndian.Uint32(e.key), e.key, e.value)
	if err == nil && name == string(bucketHoldings) {
		_, err = decodeHolding(payload)
	} else if err == nil {
		_, err = decodeStage(payload)
	}
	return err
}

func decodeVersion(payload []byte) (uint32, error) {
	if len(payload) != 4 {
		return 0, fmt.Errorf("format of %d bytes", len(payload))
	}
	v := binary.LittleEndian.Uint32(payload)
	if v > format {
		return v, fmt.Errorf("%w: format %d, this program knows %d", ErrNewerFormat, v, format)
	}
	if v == 0 {
		return v, fmt.Errorf("format 0")
	}
	return v, nil
}

// checkPair looks at the shape of an entry of a partition.
func checkPair(key, payload []byte) error {
	if len(key) == 0 {
		return fmt.Errorf("no key")
	}
	switch key[0] {
	case kindApp:
		if len(key) < 2 || key[1] == 0 || len(key) < 3+int(key[1]) {
			return fmt.Errorf("key of %d bytes", len(key))
		}
		return nil
	case kindCrash, kindDone:
		if len(key) == 1 || len(key) > 1+MaxID {
			return fmt.Errorf("id of %d bytes", len(key)-1)
		}
		_, err := expiryOf(key, payload)
		return err
	case kindHorizon:
		if len(key) != 1 || len(payload) != 8 {
			return fmt.Errorf("horizon of %d bytes", len(payload))
		}
		return nil
	}
	return fmt.Errorf("unknown kind %#x", key[0])
}
