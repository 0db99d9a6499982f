package membership

import (
	"bufio"
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// Bytes of memberlist's stream format: a label header, then one message,
// which is a type byte and msgpack, or all of that encrypted.
const (
	labelByte     = 244
	pushPullByte  = 6
	encryptByte   = 10
	errorByte     = 13
	encryptFormat = 1 // AES-GCM without padding
	sealedHeader  = 5 // type byte and length, both authenticated
	maxExchange   = 20 << 20
)

// ask reads the member states of the process at the other end of conn, which
// may be this process itself. It sends a state exchange of no states, which
// changes nothing there. ctx must have a deadline or end.
func ask(ctx context.Context, conn net.Conn, cluster string, key []byte) ([]nodeState, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	states, err := askNow(conn, cluster, key)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return states, err
}

func askNow(conn net.Conn, cluster string, key []byte) ([]nodeState, error) {
	request := append([]byte{labelByte, byte(len(cluster))}, cluster...)
	message := emptyPushPull()
	if key != nil {
		sealed, err := seal(key, cluster, message)
		if err != nil {
			return nil, err
		}
		message = sealed
	}
	if _, err := conn.Write(append(request, message...)); err != nil {
		return nil, err
	}
	in := bufio.NewReader(io.LimitReader(conn, maxExchange))
	kind, err := in.ReadByte()
	if err != nil {
		return nil, err
	}
	if (kind == encryptByte) != (key != nil) {
		return nil, fmt.Errorf("%w: only one side encrypts", ErrGossipKeyMismatch)
	}
	if kind == encryptByte {
		plain, err := unseal(key, cluster, in)
		if err != nil {
			return nil, err
		}
		kind = plain[0]
		in.Reset(bytes.NewReader(plain[1:]))
	}
	switch kind {
	case pushPullByte:
		return decodeStates(in)
	case errorByte:
		return nil, fmt.Errorf("%w: the peer cannot read ours; its log says why", ErrBadState)
	}
	return nil, fmt.Errorf("%w: message type %d", ErrBadState, kind)
}

// emptyPushPull is a state exchange in which the sender has nothing to tell.
func emptyPushPull() []byte {
	var buf bytes.Buffer // never fails a write
	buf.WriteByte(pushPullByte)
	enc := msgpack.NewEncoder(&buf)
	_ = enc.EncodeMapLen(3)
	_ = enc.EncodeString("Nodes")
	_ = enc.EncodeInt(0)
	_ = enc.EncodeString("UserStateLen")
	_ = enc.EncodeInt(0)
	_ = enc.EncodeString("Join")
	_ = enc.EncodeBool(false)
	return buf.Bytes()
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return cipher.NewGCM(block)
}

// seal encrypts a message: type byte, length of what follows, format, nonce,
// ciphertext with tag. The header and the label are authenticated.
func seal(key []byte, cluster string, message []byte) ([]byte, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	size := 1 + aead.NonceSize() + len(message) + aead.Overhead()
	out := binary.BigEndian.AppendUint32([]byte{encryptByte}, uint32(size))
	authenticated := append(bytes.Clone(out), cluster...)
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce) // never fails
	out = append(append(out, encryptFormat), nonce...)
	return aead.Seal(out, nonce, message, authenticated), nil
}

// unseal reads the rest of an encrypted message after its type byte. The
// result is not empty.
func unseal(key []byte, cluster string, in io.Reader) ([]byte, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	header := [sealedHeader]byte{encryptByte}
	if _, err := io.ReadFull(in, header[1:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(header[1:])
	least := 1 + aead.NonceSize() + aead.Overhead() + 1
	if size > maxExchange || int(size) < least {
		return nil, fmt.Errorf("%w: encrypted message of %d bytes", ErrBadState, size)
	}
	// What arrives is what gets allocated, whatever the header announces.
	var sealed bytes.Buffer
	if _, err := io.CopyN(&sealed, in, int64(size)); err != nil {
		return nil, err
	}
	b := sealed.Bytes()
	if b[0] != encryptFormat {
		return nil, fmt.Errorf("%w: encryption format %d", ErrBadState, b[0])
	}
	nonce, ciphertext := b[1:1+aead.NonceSize()], b[1+aead.NonceSize():]
	plain, err := aead.Open(nil, nonce, ciphertext, append(header[:], cluster...))
	if err != nil {
		return nil, fmt.Errorf("%w: its states cannot be decrypted", ErrGossipKeyMismatch)
	}
	return plain, nil
}

// remoteStates asks the process at addr for its member states.
func (c *Cluster) remoteStates(ctx context.Context, addr netip.AddrPort) ([]nodeState, error) {
	g, _, err := c.running()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.tune.streamTimeout)
	defer cancel()
	conn, err := g.dial(ctx, addr.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return ask(ctx, conn, c.cfg.Cluster, c.cfg.GossipKey)
}

// localStates asks this process's own memberlist, which keeps suspicions and
// incarnations to itself but tells them to every peer: here, through a pipe.
func (c *Cluster) localStates(ctx context.Context) ([]nodeState, error) {
	g, _, err := c.running()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.tune.streamTimeout)
	defer cancel()
	near, far := net.Pipe()
	defer near.Close()
	g.accept(far)
	return ask(ctx, near, c.cfg.Cluster, c.cfg.GossipKey)
}
