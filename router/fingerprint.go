package router

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// ErrFingerprint tells of a text that is not a fingerprint.
var ErrFingerprint = errors.New("router: invalid fingerprint")

// algorithm names how tables are computed. It must change with any change of
// the code that gives the same members other owners.
const algorithm = "meshnode/router/2"

// Fingerprint identifies a table: tables with equal fingerprints agree on the
// owners of every key, but for a chance of 2^-64. It is not a defence against
// members that cheat.
type Fingerprint uint64

// String returns the fingerprint as 16 lower-case hexadecimal digits.
func (f Fingerprint) String() string { return fmt.Sprintf("%016x", uint64(f)) }

// ParseFingerprint is the inverse of Fingerprint.String. The error, if any, is
// ErrFingerprint with details.
func ParseFingerprint(s string) (Fingerprint, error) {
	n, err := strconv.ParseUint(s, 16, 64)
	if f := Fingerprint(n); err == nil && f.String() == s {
		return f, nil
	}
	return 0, fmt.Errorf("%w: %q is not 16 lower-case hexadecimal digits", ErrFingerprint, s)
}

// Fingerprint returns the fingerprint of the table. It covers the names, zones
// and rounded weights of the members, the parameters, and the version of the
// algorithm, so it is known without comparing owners.
func (t *Table) Fingerprint() Fingerprint { return t.fingerprint }

// fingerprint hashes an encoding that no two different inputs share: numbers
// have a fixed width and strings come after their length. Members are sorted.
func fingerprint(members []Member, weights []uint32, params Params) Fingerprint {
	var d xxhash.Digest
	d.Reset()
	var buf []byte
	addString := func(s string) {
		buf = binary.BigEndian.AppendUint64(buf, uint64(len(s)))
		buf = append(buf, s...)
	}
	addString(algorithm)
	buf = binary.BigEndian.AppendUint32(buf, params.Partitions)
	buf = binary.BigEndian.AppendUint32(buf, uint32(params.SlackPermille))
	buf = binary.BigEndian.AppendUint64(buf, uint64(len(members)))
	for i, m := range members {
		addString(m.Name)
		addString(m.Zone)
		buf = binary.BigEndian.AppendUint32(buf, weights[i])
		d.Write(buf) //nolint:errcheck // a digest accepts every write
		buf = buf[:0]
	}
	d.Write(buf)
	return Fingerprint(d.Sum64())
}

// FingerprintOf gives the fingerprint that the table of these members would have,
// without making it. The errors are those of New.
func FingerprintOf(members []Member, params Params) (Fingerprint, error) {
	if err := params.Validate(); err != nil {
		return 0, err
	}
	sorted, weights, err := normalise(members)
	if err != nil {
		return 0, err
	}
	return fingerprint(sorted, weights, params.WithDefaults()), nil
}
