package deathstarbench

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Format returns the text of a scenario file that Parse reads back as the same scenario. The comment, which may be
// empty and may have several lines, stands first. What Parse fills in by itself is left out.
func (s *Scenario) Format(comment string) []byte {
	var f formatter
	for line := range strings.Lines(comment) {
		f.line("# %s", strings.TrimRight(line, "\r\n"))
	}
	f.text("name", s.Name)
	f.duration("duration", s.Duration)
	f.duration("warmup", s.Warmup)
	f.duration("control_interval", s.ControlInterval)
	if s.Timeout != Duration(DefaultTimeout) {
		f.duration("timeout", s.Timeout)
	}
	if o := s.Objective; o.Kind != "" {
		f.line("\n[objective]")
		f.text("kind", o.Kind)
		f.number("steepness", o.Steepness)
		f.number("price_unit", o.PriceUnit)
		f.number("price_violation", o.PriceViolation)
	}
	for i := range s.Workloads {
		f.workload(&s.Workloads[i])
	}
	for i := range s.Servers {
		f.server(&s.Servers[i])
	}
	for i := range s.Upstreams {
		f.upstream(&s.Upstreams[i])
	}
	for i := range s.Loads {
		f.load(&s.Loads[i])
	}
	for i := range s.Balancers {
		f.balancer(&s.Balancers[i])
	}
	for i := range s.Faults {
		f.fault(&s.Faults[i], s.Duration)
	}
	return []byte(f.b.String())
}

// formatter writes TOML. Keys with the zero value are left out.
type formatter struct{ b strings.Builder }

func (f *formatter) line(format string, args ...any) { fmt.Fprintf(&f.b, format+"\n", args...) }

func (f *formatter) table(name string) { f.line("\n[[%s]]", name) }

func (f *formatter) text(key, v string) {
	if v != "" {
		f.line("%s = %s", key, quote(v))
	}
}

func (f *formatter) whole(key string, v int) {
	if v != 0 {
		f.line("%s = %d", key, v)
	}
}

func (f *formatter) number(key string, v float64) {
	if v != 0 {
		f.line("%s = %s", key, decimal(v))
	}
}

func (f *formatter) duration(key string, v Duration) {
	if v != 0 {
		f.line("%s = %s", key, span(v))
	}
}

func (f *formatter) durations(key string, m map[string]Duration) {
	if len(m) == 0 {
		return
	}
	parts := make([]string, 0, len(m))
	for _, k := range sortedKeys(m) {
		parts = append(parts, quoteKey(k)+" = "+span(m[k]))
	}
	f.line("%s = { %s }", key, strings.Join(parts, ", "))
}

func (f *formatter) workload(w *Workload) {
	f.table("workload")
	f.text("name", w.Name)
	f.text("method", w.Method)
	f.text("path", w.Path)
	f.text("body", w.Body)
	f.whole("bytes", w.Bytes)
}

func (f *formatter) server(v *Server) {
	f.table("server")
	f.text("name", v.Name)
	f.whole("slots", v.Slots)
	f.number("service_cv", v.ServiceCV)
	f.durations("service", v.Service)
	f.duration("network_delay", v.NetworkDelay)
	f.durations("distance", v.Distance)
	if v.QueueLimit != DefaultQueueLimit {
		f.whole("queue_limit", v.QueueLimit)
	}
	if c := v.Capacity; c != (CapacityRange{}) {
		f.inline("capacity", func(in *formatter) {
			in.whole("min", c.Min)
			in.whole("max", c.Max)
			in.whole("step", c.Step)
			in.duration("cool_down", c.CoolDown)
		})
	}
}

// inline writes an inline table.
func (f *formatter) inline(key string, fill func(*formatter)) {
	var in formatter
	fill(&in)
	f.line("%s = { %s }", key, strings.ReplaceAll(strings.TrimSpace(in.b.String()), "\n", ", "))
}

func (f *formatter) upstream(u *Upstream) {
	f.table("upstream")
	f.text("name", u.Name)
	f.text("workload", u.Workload)
	names := make([]string, len(u.Servers))
	for i, name := range u.Servers {
		names[i] = quote(name)
	}
	f.line("servers = [%s]", strings.Join(names, ", "))
	f.text("method", u.Method)
	weights := make([]string, len(u.Weights))
	for i, w := range u.Weights {
		weights[i] = strconv.Itoa(w)
	}
	f.line("weights = [%s]", strings.Join(weights, ", "))
	f.duration("deadline", u.Deadline)
	if u.Priority != 1 {
		f.number("priority", u.Priority)
	}
	if o := u.Objective; o != (UpstreamObjective{}) {
		f.inline("objective", func(in *formatter) {
			in.duration("bound", o.Bound)
			in.duration("knee", o.Knee)
			in.number("quantile", o.Quantile)
			if o.Importance != nil {
				in.number("importance", *o.Importance)
			}
			in.number("promised", o.Promised)
			in.number("max_blocked", o.MaxBlocked)
			in.number("block_step", o.BlockStep)
		})
	}
}

func (f *formatter) load(l *Traffic) {
	f.table("load")
	f.text("workload", l.Workload)
	f.text("arrival", l.Arrival)
	if l.Pattern.Kind != "" {
		f.pattern(&l.Pattern)
		return
	}
	phases := make([]string, len(l.Phases))
	for i, p := range l.Phases {
		phases[i] = fmt.Sprintf("{ at = %s, rate = %s }", span(p.At), decimal(p.Rate))
	}
	if len(phases) == 1 {
		f.line("phases = [%s]", phases[0])
		return
	}
	f.line("phases = [")
	for p := range slices.Chunk(phases, 4) {
		f.line("  %s,", strings.Join(p, ", "))
	}
	f.line("]")
}

func (f *formatter) pattern(p *Pattern) {
	f.inline("pattern", func(in *formatter) {
		in.text("kind", p.Kind)
		in.duration("every", p.Every)
		if len(p.Values) > 0 {
			values := make([]string, len(p.Values))
			for i, v := range p.Values {
				values[i] = decimal(v)
			}
			in.line("values = [%s]", strings.Join(values, ", "))
		}
		in.whole("seed", p.Seed)
		in.number("mean", p.Mean)
		in.number("amplitude", p.Amplitude)
		in.duration("period", p.Period)
		in.number("phase", p.Phase)
		in.text("file", p.File)
	})
}

func (f *formatter) fault(v *Fault, end Duration) {
	f.table("fault")
	f.text("server", v.Server)
	f.text("kind", v.Kind)
	f.number("factor", v.Factor)
	f.whole("slots", v.Slots)
	f.number("probability", v.Probability)
	f.duration("latency", v.Latency)
	f.duration("delay", v.Delay)
	f.duration("at", v.At)
	if v.Until != end {
		f.duration("until", v.Until)
	}
}

func span(d Duration) string { return `"` + time.Duration(d).String() + `"` }

// decimal writes the shortest text that is read back as the same number.
func decimal(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// quote writes a basic string of TOML, whose escapes are not Go's.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// quoteKey leaves a key bare that may stand so.
func quoteKey(key string) string {
	bare := key != "" && !strings.ContainsFunc(key, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
	if bare {
		return key
	}
	return quote(key)
}
