package autoscale

import (
	_ "embed"
	"fmt"
	"os"

	"trimtab/deathstarbench"
)

// Autoscaled names the built-in world: an hour of one wave with four bursts, four services, 400 ms.
const Autoscaled = "autoscaled"

//go:embed autoscaled.toml
var autoscaled string

// file is a world as it is written. It is no deathstarbench.Scenario: what is set here is how many replicas a service
// has, not the weights of those that there are.
type file struct {
	Name      string                  `toml:"name"`
	Duration  deathstarbench.Duration `toml:"duration"`
	Interval  deathstarbench.Duration `toml:"control_interval"`
	Objective struct {
		Mean deathstarbench.Duration `toml:"mean"`
	} `toml:"objective"`
	Load struct {
		Rate       float64 `toml:"rate"`
		Swing      float64 `toml:"swing"`
		Bursts     int     `toml:"bursts"`
		Burst      float64 `toml:"burst"`
		ForecastCV float64 `toml:"forecast_cv"`
	} `toml:"load"`
	Services []struct {
		Name     string                  `toml:"name"`
		Service  deathstarbench.Duration `toml:"service"`
		Visits   float64                 `toml:"visits"`
		Capacity struct {
			Max int `toml:"max"`
		} `toml:"capacity"`
	} `toml:"service"`
}

// Load returns the built-in world of the name, empty: Autoscaled, or reads one from a file.
func Load(name string) (*World, error) {
	if name == "" || name == Autoscaled {
		return Parse(Autoscaled, autoscaled)
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
	w := &World{Name: f.Name, Minutes: f.Duration.Std().Seconds() / 60, IntervalSec: f.Interval.Std().Seconds(),
		ObjectiveSec: f.Objective.Mean.Std().Seconds(), Base: f.Load.Rate, Swing: f.Load.Swing, Bursts: f.Load.Bursts,
		Burst: f.Load.Burst, ForecastCV: f.Load.ForecastCV}
	for _, s := range f.Services {
		w.Services = append(w.Services, Service{s.Name, s.Service.Std().Seconds(), s.Visits, s.Capacity.Max})
	}
	if err := w.Validate(); err != nil {
		return nil, fmt.Errorf("parse world %s: %w", name, err)
	}
	return w, nil
}
