package arrival

import "fmt"

// Kind names an arrival process.
type Kind string

// The arrival processes.
const (
	Fixed Kind = "fixed"
	Exp   Kind = "exp"
	Norm  Kind = "norm"
	Zipf  Kind = "zipf"
)

// Kinds returns the arrival processes that there are.
func Kinds() []Kind { return []Kind{Fixed, Exp, Norm, Zipf} }

// Spec is an arrival process with its parameters; a zero parameter means its default.
type Spec struct {
	Kind Kind `toml:"arrival" json:"arrival"`
	// norm: coefficient of variation of the gaps, default 0.3
	CV    float64 `toml:"cv,omitzero" json:"cv,omitempty"`
	Ranks int     `toml:"ranks,omitzero" json:"ranks,omitempty"` // zipf: number of ranks, default 100
	Alpha float64 `toml:"alpha,omitzero" json:"alpha,omitempty"` // zipf: exponent α, default 3
}

// Gaps returns the gaps that the specification describes, seeded.
func (s Spec) Gaps(seed uint64) (Gaps, error) {
	switch s.Kind {
	case Fixed:
		return fixedGaps{}, nil
	case Exp:
		return newExp(seed), nil
	case Norm:
		return newNorm(or(s.CV, DefaultCV), seed)
	case Zipf:
		return newZipf(or(s.Ranks, DefaultRanks), or(s.Alpha, DefaultAlpha), seed)
	default:
		return nil, fmt.Errorf("arrival %q: want fixed, exp, norm or zipf", s.Kind)
	}
}

// Process returns the process that the specification describes, following rate, seeded; the same seed gives the same
// arrivals.
func (s Spec) Process(rate Rate, seed uint64) (*Process, error) {
	gaps, err := s.Gaps(seed)
	if err != nil {
		return nil, err
	}
	return NewProcess(gaps, rate), nil
}

// or returns v, or fallback when v is the zero value.
func or[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}
