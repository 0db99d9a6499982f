package datadir

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// format is the version of both files that this package writes, and the greatest
// that it reads.
const format = 1

// maxIdentity bounds the file, in bytes.
const maxIdentity = 16 << 10

// Identity is whose a directory is.
type Identity struct {
	Name    string
	Cluster string
	Created time.Time // when the directory was first used
}

// identityFile is identity.json.
type identityFile struct {
	Format  int       `json:"format"`
	Name    string    `json:"name"`
	Cluster string    `json:"cluster"`
	Created time.Time `json:"created"`
}

// parseIdentity reads identity.json. Errors: ErrNewerFormat; ErrDamaged for whatever
// else is not an identity of this format with both names.
func parseIdentity(data []byte) (Identity, error) {
	var f identityFile
	if err := parse(data, &f); err != nil {
		return Identity{}, err
	}
	if f.Name == "" || f.Cluster == "" {
		return Identity{}, fmt.Errorf("%w: it lacks a name or a cluster", ErrDamaged)
	}
	return Identity{Name: f.Name, Cluster: f.Cluster, Created: f.Created}, nil
}

// parse reads a file of this package into what holds its fields.
func parse(data []byte, into any) error {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	switch {
	case head.Format > format:
		return fmt.Errorf("%w: format %d, this version knows %d", ErrNewerFormat, head.Format, format)
	case head.Format < 1:
		return fmt.Errorf("%w: it has no format", ErrDamaged)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// identify reads whose directory it is, and compares it with what was asked for; a
// new directory becomes that node's.
func identify(path string, cfg Config) (Identity, error) {
	file := filepath.Join(path, identityName)
	data, err := readFile(file, maxIdentity)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return begin(path, cfg)
	case err != nil:
		return Identity{}, err
	}
	who, err := parseIdentity(data)
	if err != nil {
		return Identity{}, fmt.Errorf("%s: %w; it says whose the directory is: restore it, or move the directory away to begin as a new node", file, err)
	}
	if cfg.Name != "" && cfg.Name != who.Name {
		return Identity{}, &OtherNodeError{Path: path, What: "name", Has: who.Name, Asked: cfg.Name}
	}
	if cfg.Cluster != "" && cfg.Cluster != who.Cluster {
		return Identity{}, &OtherNodeError{Path: path, What: "cluster", Has: who.Cluster, Asked: cfg.Cluster}
	}
	return who, cfg.check(who)
}

// begin makes a new directory a node's.
func begin(path string, cfg Config) (Identity, error) {
	who := Identity{
		Name: cmp.Or(cfg.Name, cfg.DefaultName), Cluster: cmp.Or(cfg.Cluster, cfg.DefaultCluster),
		Created: time.Now().UTC().Truncate(time.Second),
	}
	if err := cfg.check(who); err != nil {
		return Identity{}, err
	}
	return who, writeFile(path, identityName, identityFile{Format: format, Name: who.Name, Cluster: who.Cluster, Created: who.Created})
}

func (c *Config) check(who Identity) error {
	if c.Check == nil {
		return nil
	}
	return c.Check(who.Name, who.Cluster)
}
