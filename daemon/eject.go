package daemon

import (
	"fmt"
	"maps"
	"slices"
)

// Eject says when servers that fail are marked down.
type Eject string

const (
	ejectNever  Eject = "never"
	ejectIdle   Eject = "where weights fail" // under methods that pick an idle server whatever its weight
	ejectAlways Eject = "always"
)

// UnmarshalTOML implements toml.Unmarshaler: true and false are always and never, as they once were.
func (e *Eject) UnmarshalTOML(v any) error {
	switch v {
	case true, "true": // a variable of the environment has words only
		*e = ejectAlways
	case false, "false":
		*e = ejectNever
	default:
		*e = Eject(fmt.Sprint(v)) // what is none of them is said by Validate
	}
	return nil
}

func (e Eject) known() bool { return e == ejectNever || e == ejectIdle || e == ejectAlways }

// ejects reports whether a failing server may be marked down at all.
func (c *Config) ejects() bool { return c.Tuner.Eject != ejectNever }

// leftOutFailing are the servers in force as down by the learner's doing, as "server of upstream".
func (d *Service) leftOutFailing() (out []string) {
	for _, upstream := range slices.Sorted(maps.Keys(d.state.LastGood)) {
		for _, server := range slices.Sorted(maps.Keys(d.state.LastGood[upstream])) {
			if d.state.LastGood[upstream][server].Down && !d.state.Base[upstream][server].Down {
				out = append(out, server+" of "+upstream)
			}
		}
	}
	return out
}
