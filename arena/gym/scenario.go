package gym

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"trimtab/arena/autoscale"
	"trimtab/arena/edge"
	"trimtab/deathstarbench"
)

const (
	mostRequests = 1e9 // of an episode
	mostControls = 1_000_000
	mostPlaced   = 1e6 // requests of an episode of which each is a step
)

// parse takes the world as a client names it: a built-in one by name, or {"toml": text}. Files are never read for
// clients.
func (o *Options) parse(wanted json.RawMessage) error {
	var name string
	var inline struct {
		TOML string `json:"toml"`
	}
	if len(wanted) > 0 && json.Unmarshal(wanted, &name) != nil &&
		(json.Unmarshal(wanted, &inline) != nil || inline.TOML == "") {
		return errors.New(`scenario: want a name or {"toml": text}`)
	}
	builtIn := func(known ...string) error {
		if inline.TOML == "" && name != "" && !slices.Contains(known, name) {
			return fmt.Errorf("scenario %q of %s: no such scenario: want one of %v", name, o.Env, known)
		}
		return nil
	}
	var err error
	switch o.Env {
	case WeightsID:
		if name == "" && inline.TOML == "" {
			return errors.New("a scenario is wanted")
		}
		if err = builtIn(deathstarbench.Names()...); err != nil {
			return err
		}
		text := []byte(inline.TOML)
		if inline.TOML == "" {
			if text, err = deathstarbench.Source(name); err != nil {
				return err
			}
		}
		if o.Scenario, err = deathstarbench.Parse("scenario", text); err != nil {
			return err
		}
		return affordable(o.Scenario)
	case EdgeID:
		if err = builtIn(edge.EdgeCloud); err != nil {
			return err
		}
		if inline.TOML == "" {
			o.Edge, err = edge.Load(edge.EdgeCloud)
		} else {
			o.Edge, err = edge.Parse("scenario", inline.TOML)
		}
		if err == nil && o.Edge.Arrivals() > mostPlaced {
			err = fmt.Errorf("scenario %s: about %.0f requests: want at most %.0g", o.Edge.Name, o.Edge.Arrivals(), mostPlaced)
		}
	case AutoscaleID:
		if err = builtIn(autoscale.Autoscaled); err != nil {
			return err
		}
		if inline.TOML == "" {
			o.Autoscale, err = autoscale.Load(autoscale.Autoscaled)
		} else {
			o.Autoscale, err = autoscale.Parse("scenario", inline.TOML)
		}
	case ParkID:
		if name != "" || inline.TOML != "" {
			err = fmt.Errorf("%s has no scenarios: its world is in park", ParkID)
		}
	}
	return err
}

// affordable refuses a scenario that would keep a core busy for minutes.
func affordable(sc *deathstarbench.Scenario) error {
	requests := 0.0
	for _, l := range sc.Loads {
		top := 0.0
		for _, p := range l.Phases {
			top = max(top, p.Rate)
		}
		requests += top * sc.Duration.Std().Seconds()
	}
	if requests > mostRequests || sc.Duration.Std()/sc.ControlInterval.Std() > mostControls {
		return fmt.Errorf("scenario %s: want at most %.0g requests and %d control intervals", sc.Name,
			float64(mostRequests), mostControls)
	}
	return nil
}
