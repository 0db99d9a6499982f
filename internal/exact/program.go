package exact

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// The errors of this package.
var (
	ErrNoGo     = errors.New("exact: no go command")
	ErrNoSource = errors.New("exact: no sources to build from")
	ErrBuild    = errors.New("exact: the build failed")
	ErrCache    = errors.New("exact: cache")
	ErrProgram  = errors.New("exact: not a stored program")
	ErrConfig   = errors.New("exact: bad configuration")
	ErrStuck    = errors.New("exact: virtual time stands still")
	ErrTrap     = errors.New("exact: the program broke")
)

// ExitError is the end of a program with a status other than 0.
type ExitError struct{ Code uint32 }

func (e *ExitError) Error() string {
	return fmt.Sprintf("exact: the program ended with status %d", e.Code)
}

// Program is a WebAssembly module that Run can run. It does not change.
type Program struct {
	Wasm      []byte
	Hash      string // SHA-256 of Wasm, in hex
	GoVersion string // that compiled it, such as "go1.26.0"
	Embedded  bool   // it came with this executable
}

// maxWasm bounds a module that is read; Go's are around 20 MB.
const maxWasm = 256 << 20

// NewProgram gives the program of a module.
func NewProgram(wasm []byte, goVersion string) *Program {
	sum := sha256.Sum256(wasm)
	return &Program{Wasm: wasm, Hash: hex.EncodeToString(sum[:]), GoVersion: goVersion}
}

// Pack writes p as it is stored: the module under gzip, whose header's comment
// is the version of Go.
func (p *Program) Pack(w io.Writer) error {
	z := gzip.NewWriter(w)
	z.Comment = p.GoVersion
	if _, err := z.Write(p.Wasm); err != nil {
		return err
	}
	return z.Close()
}

// Unpack reads what Pack has written. The error is ErrProgram if it is anything
// else.
func Unpack(r io.Reader) (*Program, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProgram, err)
	}
	var wasm bytes.Buffer
	n, err := io.Copy(&wasm, io.LimitReader(z, maxWasm+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrProgram, err)
	case n > maxWasm:
		return nil, fmt.Errorf("%w: over %d bytes", ErrProgram, maxWasm)
	case !bytes.HasPrefix(wasm.Bytes(), []byte("\x00asm")):
		return nil, fmt.Errorf("%w: not WebAssembly", ErrProgram)
	}
	return NewProgram(wasm.Bytes(), z.Comment), nil
}

// Embedded gives the program that this executable carries, and nil if it was
// built without.
func Embedded() (*Program, error) {
	packed := embedded()
	if packed == nil {
		return nil, nil
	}
	p, err := Unpack(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	p.Embedded = true
	return p, nil
}
