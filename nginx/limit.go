package nginx

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Limit is a limit_req_zone of the http block: the operator's own limit of the rate of requests, whose digits may be
// edited.
type Limit struct {
	Zone string
	Key  string // as written
	Rate int    // in units of PerMinute or per second
	// PerMinute says that the rate is one of r/m.
	PerMinute bool
	File      *File
	Line      int
	Uses      []LimitUse

	digits [2]int // offsets of the rate's digits in File
}

// LimitUse is a limit_req that uses a zone.
type LimitUse struct {
	File   *File
	Line   int
	Burst  int
	DryRun bool
}

// PerSec is the rate in requests per second.
func (l *Limit) PerSec() float64 { return perSec(l.Rate, l.PerMinute) }

func perSec(rate int, perMinute bool) float64 {
	if perMinute {
		return float64(rate) / 60
	}
	return float64(rate)
}

// limit takes notice of limit_req_zone and limit_req.
func (r *reader) limit(at *place, name string, f *File, l *lexer) {
	switch {
	case name == "limit_req_zone" && at.blocks == "http" && len(l.args) > 3:
		out := &Limit{Key: l.args[1].value(f.Data), File: f, Line: l.args[0].line}
		for _, t := range l.args[2:] {
			raw := string(f.Data[t.start:t.end])
			if zone, ok := strings.CutPrefix(raw, "zone="); ok {
				out.Zone, _, _ = strings.Cut(zone, ":")
			}
			rate, ok := strings.CutPrefix(raw, "rate=")
			if !ok {
				continue
			}
			digits := strings.TrimSuffix(strings.TrimSuffix(rate, "r/s"), "r/m")
			n, err := strconv.Atoi(digits)
			if err != nil || n < 1 || digits == rate {
				return // NGINX refuses it
			}
			from := t.start + len("rate=")
			out.Rate, out.PerMinute, out.digits = n, strings.HasSuffix(rate, "r/m"), [2]int{from, from + len(digits)}
		}
		if out.Zone != "" && out.Rate > 0 {
			r.config.Limits = append(r.config.Limits, out)
		}
	case name == "limit_req" && strings.HasPrefix(at.blocks, "http") && len(l.args) > 1:
		use := limitUse{LimitUse: LimitUse{File: f, Line: l.args[0].line}}
		for _, t := range l.args[1:] {
			raw := string(f.Data[t.start:t.end])
			if zone, ok := strings.CutPrefix(raw, "zone="); ok {
				use.zone = zone
			}
			if burst, ok := strings.CutPrefix(raw, "burst="); ok {
				use.Burst, _ = strconv.Atoi(burst)
			}
		}
		r.uses = append(r.uses, use)
	case name == "limit_req_dry_run" && len(l.args) == 2 && l.args[1].value(f.Data) == "on":
		r.dryRun = true
	}
}

// limitUse is a limit_req whose zone may be defined further down.
type limitUse struct {
	LimitUse
	zone string
}

// join gives the zones their uses.
func (r *reader) join() {
	for _, u := range r.uses {
		for _, l := range r.config.Limits {
			if l.Zone == u.zone {
				u.DryRun = r.dryRun
				l.Uses = append(l.Uses, u.LimitUse)
			}
		}
	}
}

// wholeKeys are the variables that have one value for all requests of a server block, so that a zone with such a key
// limits all of them together.
var wholeKeys = []string{"$server_name", "$server_port", "$server_addr", "$hostname", "$nginx_version"}

// whole says why the key of a limit is not one for all requests; empty: it is.
func (l *Limit) whole() string {
	rest := l.Key
	for _, v := range wholeKeys {
		rest = strings.ReplaceAll(rest, v, "")
	}
	if strings.ContainsRune(rest, '$') {
		return fmt.Sprintf("its key %s limits clients one by one, not all requests together: use a key such as "+
			"$server_name", l.Key)
	}
	return ""
}

// Limit returns the limit_req_zone of that name, or says why its rate cannot be edited.
func (c *Config) Limit(zone string) (*Limit, error) {
	var found *Limit
	for _, l := range c.Limits {
		if l.Zone != zone {
			continue
		}
		if found != nil {
			return nil, refuse("limit_req_zone %q stands at %s:%d and at %s:%d", zone, found.File.Path, found.Line,
				l.File.Path, l.Line)
		}
		found = l
	}
	if found == nil {
		return nil, refuse("no limit_req_zone %q in %s: admission without Lua edits the rate of one that the "+
			"operator wrote", zone, c.Path)
	}
	where := fmt.Sprintf("%s:%d: limit_req_zone %q", found.File.Path, found.Line, zone)
	switch {
	case found.whole() != "":
		return nil, refuse("%s: %s", where, found.whole())
	case len(found.Uses) == 0:
		return nil, refuse("%s: no limit_req uses it", where)
	case slices.ContainsFunc(found.Uses, func(u LimitUse) bool { return u.DryRun }):
		return nil, refuse("%s: limit_req_dry_run is on, so that it refuses nobody", where)
	case found.File.Visits > 1:
		return nil, refuse("%s stands in a file that is included %d times: an edit would change every place", where,
			found.File.Visits)
	}
	if others := c.sharers(found.File); others != "" {
		return nil, refuse("%s: %s: an edit would change every place; include the file once", where, others)
	}
	return found, nil
}

// PlanRates says which digits have to change for limit_req_zones to have the rates given, in their own units, or
// refuses.
func (c *Config) PlanRates(want map[string]int) ([]FileChange, error) {
	edits := map[*File][]Edit{}
	for _, zone := range sortedKeys(want) {
		l, err := c.Limit(zone)
		if err != nil {
			return nil, err
		}
		if n := want[zone]; n < 1 || n > mostRate {
			return nil, refuse("limit_req_zone %q: rate %d: want 1 to %d", zone, n, mostRate)
		}
		if want[zone] == l.Rate {
			continue
		}
		edits[l.File] = append(edits[l.File],
			Edit{Offset: l.digits[0], Old: string(l.File.Data[l.digits[0]:l.digits[1]]), New: strconv.Itoa(want[zone])})
	}
	var out []FileChange
	for _, f := range c.Files {
		if e := edits[f]; len(e) > 0 {
			slices.SortFunc(e, func(a, b Edit) int { return a.Offset - b.Offset })
			out = append(out, FileChange{File: f, Edits: e})
		}
	}
	return out, nil
}

// mostRate is what NGINX's millirequests in an int hold with room to spare.
const mostRate = 1_000_000
