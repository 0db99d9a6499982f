package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/meshnode/meshnode/internal/disk"
)

// temporary ends the name of a file that is not whole yet. One that a crash left
// behind is written over.
const temporary = ".tmp"

// readFile reads a file of at most limit bytes; a longer one is ErrDamaged.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: %w: it has more than %d bytes", path, ErrDamaged, limit)
	}
	return data, nil
}

// writeFile replaces a file of a directory by the JSON of v, as a whole, and durably
// when it returns without error.
func writeFile(dir, name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	whole := filepath.Join(dir, name)
	part := whole + temporary
	if err := writeSynced(part, append(data, '\n')); err != nil {
		return errors.Join(err, removeIfThere(part))
	}
	if err := os.Rename(part, whole); err != nil {
		return errors.Join(err, removeIfThere(part))
	}
	return disk.System().SyncDir(dir)
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
