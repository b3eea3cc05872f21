package worlds

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"trimtab/deathstarbench"
)

// World is a generated scenario.
type World struct {
	Scenario *deathstarbench.Scenario
	Seed     uint64
	// About is what the world is made of, one line of key=value pairs in the order of the keys.
	About string
	// Regimes are the regimes of load of a recurring world in the order of time; nil for others.
	Regimes []Regime
}

// Regime is a spell of one regime of load.
type Regime struct {
	Name     string
	From, To time.Duration
}

// Format returns the world as a scenario file that begins with what it is made of.
func (w *World) Format() []byte { return w.Scenario.Format(w.About) }

// facts are what a world is made of, by key.
type facts map[string]any

func (f facts) String() string {
	parts := make([]string, 0, len(f))
	for _, k := range slices.Sorted(maps.Keys(f)) {
		parts = append(parts, fmt.Sprintf("%s=%v", k, f[k]))
	}
	return strings.Join(parts, ", ")
}

// The names of the upstream groups, by workload.
func groupName(workload string) string {
	switch workload {
	case deathstarbench.ComposePost:
		return "compose_backend"
	case deathstarbench.ReadHomeTimeline:
		return "home_read_backend"
	}
	return "user_read_backend"
}

// Kinds are the kinds of world that a world is of, by what it is made of: "fault=gc" and such for its fault, the
// course of its load, its servers, the weights it starts from, and the story of a recurring one. about is
// World.About, or the first comment of a file; what is none of them has no kinds.
func Kinds(about string) []string {
	names := map[string]string{"fault": "fault", "load": "load", "kind": "servers", "start": "start", "story": "story"}
	var out []string
	for part := range strings.SplitSeq(about, ", ") {
		key, value, ok := strings.Cut(part, "=")
		if name := names[key]; ok && name != "" {
			out = append(out, name+"="+value)
		}
	}
	return out
}
