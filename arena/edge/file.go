package edge

import (
	_ "embed"
	"fmt"
	"os"

	"trimtab/deathstarbench"
)

// EdgeCloud names the built-in world: a small server in each of two edges, a large one in the cloud.
const EdgeCloud = "edge-cloud"

//go:embed edge-cloud.toml
var edgeCloud string

// file is a world as it is written. It is no deathstarbench.Scenario: requests here are placed one by one, with a model
// or not at all, and there are no upstreams with weights, so that nothing that plays scenarios could play it.
type file struct {
	Name     string   `toml:"name"`
	Duration Duration `toml:"duration"`
	Regions  []struct {
		Name string `toml:"name"`
	} `toml:"region"`
	Network struct {
		Delay [][]float64 `toml:"delay"` // s per MB; left out with three regions: DefaultDelay
		Off   bool        `toml:"off"`
	} `toml:"network"`
	Servers []Server `toml:"server"`
	Clients []Client `toml:"client"`
}

// Duration is a time.Duration written as text.
type Duration = deathstarbench.Duration

// DefaultDelay is the matrix of the world as its authors planned it, s per MB.
func DefaultDelay() [][]float64 { return [][]float64{{0, 0.5, 1}, {0.5, 0, 0.75}, {1, 0.75, 0}} }

// Load returns the built-in world of the name, empty: EdgeCloud, or reads one from a file.
func Load(name string) (*World, error) {
	if name == "" || name == EdgeCloud {
		return Parse(EdgeCloud, edgeCloud)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read world: %w", err)
	}
	return Parse(name, string(text))
}

// Parse reads a world and checks it, as strictly as a scenario is read.
func Parse(name, text string) (*World, error) {
	var f file
	if err := deathstarbench.Decode(name, []byte(text), &f); err != nil {
		return nil, fmt.Errorf("parse world: %w", err)
	}
	w := &World{Name: f.Name, Duration: f.Duration, Delay: f.Network.Delay, Network: !f.Network.Off, Servers: f.Servers,
		Clients: f.Clients}
	for _, r := range f.Regions {
		w.Regions = append(w.Regions, r.Name)
	}
	if len(w.Delay) == 0 && len(w.Regions) == 3 {
		w.Delay = DefaultDelay()
	}
	for i := range w.Clients {
		if w.Clients[i].Within == [2]float64{} {
			w.Clients[i].Within = [2]float64{1, 10}
		}
	}
	if err := w.Validate(); err != nil {
		return nil, fmt.Errorf("parse world %s: %w", name, err)
	}
	return w, nil
}
