package arena

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/pursuit"
	"trimtab/rival"
	"trimtab/vts"
	"trimtab/weights"
)

// Case is what a policy is made for.
type Case struct {
	Scenario  *deathstarbench.Scenario
	Method    string // balancing method of the run; empty: the scenario's
	Seed      uint64
	Deadlines map[string]time.Duration // by upstream
	// FreeChanges says that weights change without a reload: nothing is saved by making few changes.
	FreeChanges bool
}

// NewPolicy makes a fresh policy for one run.
type NewPolicy func(ctx context.Context, c Case) (control.Policy, error)

// Starter is a policy that also says which weights a run begins with.
type Starter interface {
	Initial() weights.Set
}

// Policy is what stands between the commas of --policy: how requests are balanced and who chooses the weights.
type Policy struct {
	Name    string // as it was written
	Method  string // balancing method; empty: the scenario's
	Chooser string
	New     NewPolicy
}

// Choosers returns the choosers that need nothing but the scenario, by name. The oracle keeps what it finds in cache.
func Choosers(cache *OracleCache) map[string]NewPolicy {
	return map[string]NewPolicy{
		"start": func(context.Context, Case) (control.Policy, error) {
			return &hold{control.Fixed{Decision: control.Decision{Reason: "hold"}}}, nil
		},
		"equal": func(_ context.Context, c Case) (control.Policy, error) {
			return equal{rival.NewEqual(), c.Scenario}, nil
		},
		"capacity": func(_ context.Context, c Case) (control.Policy, error) {
			return &fixedWeights{weights: capacityWeights(c.Scenario)}, nil
		},
		"random": func(_ context.Context, c Case) (control.Policy, error) {
			return rival.NewRandom(c.Seed), nil
		},
		"l3": func(context.Context, Case) (control.Policy, error) { return rival.NewL3(rival.L3Config{}) },
		"region-aware": func(_ context.Context, c Case) (control.Policy, error) {
			return NewRegionAware(c.Scenario, 0), nil
		},
		"optimal": func(_ context.Context, c Case) (control.Policy, error) {
			return pursuit.NewOptimal(c.Scenario, c.Seed)
		},
		"optimal-late": func(_ context.Context, c Case) (control.Policy, error) {
			return pursuit.NewOptimalLate(c.Scenario, c.Seed)
		},
		"clairvoyant": func(_ context.Context, c Case) (control.Policy, error) {
			return NewClairvoyant(c, 0), nil
		},
		"clairvoyant-late": func(_ context.Context, c Case) (control.Policy, error) {
			return NewClairvoyant(c, 2*c.Scenario.ControlInterval.Std()), nil
		},
		"pursue": func(_ context.Context, c Case) (control.Policy, error) { return NewPursuit(c) },
		"oracle": func(ctx context.Context, c Case) (control.Policy, error) { return NewOracle(ctx, c, cache) },
	}
}

// ParsePolicies reads a list such as "equal,least_conn/tuned,least_time". An entry is chooser or method/chooser; the
// name of a method alone is that method with equal weights.
func ParsePolicies(list string, choosers map[string]NewPolicy) ([]Policy, error) {
	var out []Policy
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.TrimSpace(entry)
		method, chooser, ok := strings.Cut(entry, "/")
		switch {
		case !ok && isMethod(entry):
			chooser = "equal"
		case !ok:
			method, chooser = "", entry
		case !isMethod(method):
			return nil, fmt.Errorf("policy %q: unknown method %q: want one of %s", entry, method, join(sim.Methods()))
		}
		make, ok := choosers[chooser]
		if !ok {
			return nil, fmt.Errorf("policy %q: unknown chooser %q: want one of %s", entry, chooser,
				join(slices.Sorted(maps.Keys(choosers))))
		}
		if slices.ContainsFunc(out, func(p Policy) bool { return p.Name == entry }) {
			return nil, fmt.Errorf("policy %q: named twice", entry)
		}
		out = append(out, Policy{Name: entry, Method: method, Chooser: chooser, New: make})
	}
	return out, nil
}

func isMethod(name string) bool { return slices.Contains(sim.Methods(), sim.Method(name)) }

func join[S ~string](names []S) string {
	text := make([]string, len(names))
	for i, n := range names {
		text[i] = string(n)
	}
	return strings.Join(text, ", ")
}

// order is the order in which the policies of a block run: what others are measured against comes first.
func order(policies []Policy) []Policy {
	rank := func(p Policy) int {
		switch p.Chooser {
		case "oracle", "optimal":
			return 0
		case "equal":
			return 1
		}
		return 2
	}
	sorted := slices.Clone(policies)
	slices.SortStableFunc(sorted, func(a, b Policy) int { return cmp.Compare(rank(a), rank(b)) })
	return sorted
}

// hold keeps what the run started from.
type hold struct{ control.Fixed }

// Observe implements control.Policy.
func (*hold) Observe(vts.Sample, weights.Set) {}

// fixedWeights are weights that are set by hand once.
type fixedWeights struct {
	hold
	weights weights.Set
}

func (f *fixedWeights) Initial() weights.Set { return f.weights }

// equal begins with equal weights too.
type equal struct {
	control.Policy
	scenario *deathstarbench.Scenario
}

func (e equal) Initial() weights.Set {
	w := weights.Set{}
	for _, u := range e.scenario.Upstreams {
		w[u.Name] = map[string]weights.Setting{}
		for _, s := range u.Servers {
			w[u.Name][s] = weights.Setting{}
		}
	}
	return w
}

// CheckWeights reports what is wrong with weights for a scenario: a group or a server that it does not have, servers
// that are missing, or a group without a live server.
func CheckWeights(sc *deathstarbench.Scenario, w weights.Set) error {
	for _, group := range slices.Sorted(maps.Keys(w)) {
		i := slices.IndexFunc(sc.Upstreams, func(u deathstarbench.Upstream) bool { return u.Name == group })
		if i < 0 {
			return fmt.Errorf("unknown upstream %q", group)
		}
		settings, live := w[group], 0
		for _, server := range sc.Upstreams[i].Servers {
			s, ok := settings[server]
			if !ok {
				return fmt.Errorf("upstream %s: %d weights for %d servers: none for %s", group, len(settings),
					len(sc.Upstreams[i].Servers), server)
			}
			if !s.Down {
				live++
			}
		}
		if len(settings) > len(sc.Upstreams[i].Servers) {
			return fmt.Errorf("upstream %s: %d weights for %d servers", group, len(settings),
				len(sc.Upstreams[i].Servers))
		}
		if live == 0 {
			return fmt.Errorf("upstream %s: every server is down", group)
		}
	}
	return nil
}
