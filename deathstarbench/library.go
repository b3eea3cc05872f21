package deathstarbench

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

//go:embed scenarios/*.toml
var library embed.FS

// ErrNoScenario is returned for a name that no embedded scenario has.
var ErrNoScenario = errors.New("no such scenario")

// Names returns the names of the embedded scenarios, sorted.
func Names() []string {
	files, err := fs.Glob(library, "scenarios/*.toml")
	if err != nil {
		panic("deathstarbench: embedded scenarios: " + err.Error())
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = strings.TrimSuffix(strings.TrimPrefix(f, "scenarios/"), ".toml")
	}
	slices.Sort(names)
	return names
}

// Source returns the text of an embedded scenario.
func Source(name string) ([]byte, error) {
	text, err := library.ReadFile("scenarios/" + name + ".toml")
	if err != nil {
		return nil, fmt.Errorf("scenario %q: %w: give the path of a .toml file or one of %s", name, ErrNoScenario,
			strings.Join(Names(), ", "))
	}
	return text, nil
}

// Load reads, checks and completes a scenario: an embedded one by name, any other by the path of its file. Whatever
// ends in .toml or holds a slash is a path. The error joins all that is wrong with the file.
func Load(nameOrPath string) (*Scenario, error) {
	if !strings.HasSuffix(nameOrPath, ".toml") && !strings.ContainsRune(nameOrPath, '/') {
		text, err := Source(nameOrPath)
		if err != nil {
			return nil, err
		}
		return Parse(nameOrPath+".toml", text)
	}
	text, err := os.ReadFile(nameOrPath)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return nil, fmt.Errorf("read scenario %s: %w", nameOrPath, err)
	}
	return Parse(nameOrPath, text)
}
