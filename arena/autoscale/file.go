package autoscale

import (
	_ "embed"
	"fmt"
	"os"
	"time"

	"github.com/BurntSushi/toml"
)

// Autoscaled names the built-in world: an hour of one wave with four bursts, four services, 400 ms.
const Autoscaled = "autoscaled"

//go:embed autoscaled.toml
var autoscaled string

// file is a world as it is written, a scenario file of its own kind.
type file struct {
	Name      string   `toml:"name"`
	Duration  duration `toml:"duration"`
	Interval  duration `toml:"control_interval"`
	Objective struct {
		Mean duration `toml:"mean"`
	} `toml:"objective"`
	Load struct {
		Rate       float64 `toml:"rate"`
		Swing      float64 `toml:"swing"`
		Bursts     int     `toml:"bursts"`
		Burst      float64 `toml:"burst"`
		ForecastCV float64 `toml:"forecast_cv"`
	} `toml:"load"`
	Services []struct {
		Name     string   `toml:"name"`
		Service  duration `toml:"service"`
		Visits   float64  `toml:"visits"`
		Capacity struct {
			Max int `toml:"max"`
		} `toml:"capacity"`
	} `toml:"service"`
}

// duration is a time.Duration written as text.
type duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = duration(v)
	return err
}

func (d duration) sec() float64 { return time.Duration(d).Seconds() }

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

// Parse reads a world and checks it; keys that nobody knows are an error.
func Parse(name, text string) (*World, error) {
	var f file
	meta, err := toml.Decode(text, &f)
	if err != nil {
		return nil, fmt.Errorf("parse world %s: %w", name, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("parse world %s: unknown key %s", name, unknown[0])
	}
	w := &World{Name: f.Name, Minutes: f.Duration.sec() / 60, IntervalSec: f.Interval.sec(),
		ObjectiveSec: f.Objective.Mean.sec(), Base: f.Load.Rate, Swing: f.Load.Swing, Bursts: f.Load.Bursts,
		Burst: f.Load.Burst, ForecastCV: f.Load.ForecastCV}
	for _, s := range f.Services {
		w.Services = append(w.Services, Service{s.Name, s.Service.sec(), s.Visits, s.Capacity.Max})
	}
	if err := w.Validate(); err != nil {
		return nil, fmt.Errorf("parse world %s: %w", name, err)
	}
	return w, nil
}
