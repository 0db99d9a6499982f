package scenario

import (
	"bytes"
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
)

//go:embed shipped/*.yaml
var shippedFiles embed.FS

const shippedFolder = "shipped"

// Names are the names of the scenarios that come with the product, sorted.
func Names() []string {
	entries, _ := shippedFiles.ReadDir(shippedFolder) // embedded, so it is there
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ".yaml")
	}
	slices.Sort(names)
	return names
}

// Shipped gives a scenario that comes with the product. The error is ErrScenario
// if there is none of that name.
func Shipped(name string) (*Scenario, error) {
	text, err := Source(name)
	if err != nil {
		return nil, err
	}
	return Parse(bytes.NewReader(text))
}

// alias is another name for split-brain.
const alias = "partition"

// Source gives the file of a scenario that comes with the product. "partition" is
// another name for split-brain.
func Source(name string) ([]byte, error) {
	if name == alias {
		name = "split-brain"
	}
	text, err := shippedFiles.ReadFile(path.Join(shippedFolder, name+".yaml"))
	if err != nil {
		return nil, fmt.Errorf("%w: there is none called %q; there are %s", ErrScenario, name, strings.Join(Names(), ", "))
	}
	return text, nil
}

//go:embed template.yaml
var templateFile embed.FS

// Template is a scenario in YAML with every setting explained.
func Template() []byte {
	text, _ := templateFile.ReadFile("template.yaml") // embedded, so it is there
	return text
}
