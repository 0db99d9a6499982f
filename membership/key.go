package membership

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
)

// KeySize is the length in bytes of a generated gossip key (AES-256).
const KeySize = 32

// GenerateKey gives a new random gossip key of KeySize bytes from the
// operating system's source. FormatKey makes text of it.
func GenerateKey() []byte {
	key := make([]byte, KeySize)
	rand.Read(key) // never fails
	return key
}

// FormatKey gives the text that ParseKey reads: standard base64 with padding.
func FormatKey(key []byte) string { return base64.StdEncoding.EncodeToString(key) }

// ParseKey reads a gossip key of 16, 24 or 32 bytes (AES-128, -192, -256) from
// base64, standard or URL alphabet, padded or not, with white space around it
// ignored. The error is ErrKey and never contains the text.
func ParseKey(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, fmt.Errorf("%w: it is empty", ErrKey)
	}
	enc := base64.RawStdEncoding
	if strings.ContainsAny(text, "-_") {
		enc = base64.RawURLEncoding
	}
	key, err := enc.Strict().DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil, fmt.Errorf("%w: %d characters that are not base64", ErrKey, len(text))
	}
	if err := validateKey(key); err != nil {
		return nil, err
	}
	return key, nil
}

func validateKey(key []byte) error {
	switch len(key) {
	case 16, 24, 32:
		return nil
	}
	return fmt.Errorf("%w: it has %d bytes, want 16, 24 or 32", ErrKey, len(key))
}

// KeyID gives a number by which two processes can see whether they hold the
// same gossip key without showing it: the first 8 bytes, big endian, of an
// HMAC-SHA256 under the key. Without a key it is 0; with one it never is.
func KeyID(key []byte) uint64 {
	if len(key) == 0 {
		return 0
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("meshnode gossip key id v1"))
	return max(binary.BigEndian.Uint64(mac.Sum(nil)), 1)
}
