package orders

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"trimtab/weights"
)

// Every stands for every server of an upstream that has no limit of its own.
const Every = "*"

// Limit bounds a server's share of the requests, within which it is tuned on. The zero value bounds nothing.
type Limit struct {
	Min   float64   `json:"min,omitempty"`  // 0 to below 1
	Max   float64   `json:"max,omitempty"`  // 0 to 1; 0 means 1
	Keep  bool      `json:"keep,omitempty"` // the share stays what the operator's weights give it
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"` // zero: until it is taken back
	By    string    `json:"by,omitempty"`
}

// Bounds are the limit as a share is bounded by it; those of Keep bound nothing.
func (l Limit) Bounds() weights.Limits { return weights.Limits{Min: l.Min, Max: l.Max} }

func (l Limit) over(now time.Time) bool { return !l.Until.IsZero() && !now.Before(l.Until) }

// Text is the limit in words, beginning with whose it is.
func (l Limit) Text(upstream, server string, now time.Time) string {
	text := fmt.Sprintf("server %s of %s ", server, upstream)
	if server == Every {
		text = fmt.Sprintf("every server of %s ", upstream)
	}
	switch {
	case l.Keep && server == Every:
		text = fmt.Sprintf("upstream %s is not tuned", upstream)
	case l.Keep:
		text += "keeps the share that your weights give it"
	case l.Min > 0 && l.Max > 0:
		text += fmt.Sprintf("has %.4g to %.4g %% of the requests", 100*l.Min, 100*l.Max)
	case l.Max > 0:
		text += fmt.Sprintf("has at most %.4g %% of the requests", 100*l.Max)
	default:
		text += fmt.Sprintf("has at least %.4g %% of the requests", 100*l.Min)
	}
	if !l.Until.IsZero() {
		text += fmt.Sprintf(", for another %s", l.Until.Sub(now).Round(time.Second))
	}
	return text
}

func validateLimits(upstreams map[string]map[string]Limit) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(upstreams)) {
		least := 0.0
		for _, server := range slices.Sorted(maps.Keys(upstreams[name])) {
			l := upstreams[name][server]
			if err := l.Bounds().Validate(); err != nil {
				errs = append(errs, fmt.Errorf("upstream %q: server %s: %w", name, server, err))
			}
			switch {
			case l.Keep && !l.Bounds().Free():
				errs = append(errs, fmt.Errorf("upstream %q: server %s keeps its share: want no limits beside it", name,
					server))
			case !l.Keep && l.Bounds().Free():
				errs = append(errs, fmt.Errorf("upstream %q: server %s: a limit that bounds nothing", name, server))
			}
			if least += l.Min; server == Every {
				least -= l.Min
			}
		}
		if least > 1 {
			errs = append(errs, fmt.Errorf("upstream %q: the least shares of its servers add up to %.4g %%: want "+
				"at most 100", name, 100*least))
		}
	}
	return errors.Join(errs...)
}

// InForce are the limits that are not over at the time now, by upstream and server; nil: none.
func (o *Orders) InForce(now time.Time) map[string]map[string]Limit {
	var out map[string]map[string]Limit
	for name, servers := range o.Limits {
		for server, l := range servers {
			if l.over(now) {
				continue
			}
			if out == nil {
				out = map[string]map[string]Limit{}
			}
			if out[name] == nil {
				out[name] = map[string]Limit{}
			}
			out[name][server] = l
		}
	}
	return out
}

// Bound gives a server of an upstream a limit, or takes its limit back where l is the zero value, and reports whether
// that changed anything.
func (o *Orders) Bound(upstream, server string, l Limit) bool {
	if l == (Limit{}) {
		_, had := o.Limits[upstream][server]
		delete(o.Limits[upstream], server)
		if len(o.Limits[upstream]) == 0 {
			delete(o.Limits, upstream)
		}
		return had
	}
	if o.Limits == nil {
		o.Limits = map[string]map[string]Limit{}
	}
	if o.Limits[upstream] == nil {
		o.Limits[upstream] = map[string]Limit{}
	}
	o.Limits[upstream][server] = l
	return true
}
