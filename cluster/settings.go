package cluster

import (
	"errors"
	"fmt"
	"math"
	"runtime"
)

// Covariance is the shape that the covariance matrices of a mixture are restricted to.
type Covariance string

const (
	Full      Covariance = "full"      // one d×d matrix per component
	Diag      Covariance = "diag"      // one variance per component and feature
	Tied      Covariance = "tied"      // one d×d matrix shared by all components
	Spherical Covariance = "spherical" // one variance per component
)

// Parameters is the number of free parameters of a mixture of k components in d dimensions: weights, means and
// covariances.
func (c Covariance) Parameters(k, d int) int {
	p := k - 1 + k*d
	switch c {
	case Diag:
		return p + k*d
	case Tied:
		return p + d*(d+1)/2
	case Spherical:
		return p + k
	default:
		return p + k*d*(d+1)/2
	}
}

func (c Covariance) valid() bool {
	return c == Full || c == Diag || c == Tied || c == Spherical
}

// Settings say how a mixture is fitted. The zero value of every field means its default.
type Settings struct {
	K             int        // number of components; 0: DefaultK
	Covariance    Covariance // empty: Full
	Restarts      int        // independent starts, the best is kept; 0: 5
	MaxIterations int        // per start; 0: 200
	// Tolerance stops a start when an iteration gains less log-likelihood per sample than this; 0: 1e-4; negative:
	// never, so that exactly MaxIterations are made.
	Tolerance float64
	// Floor is the least variance in any direction, in squared units of the features: covariances are the
	// maximum-likelihood ones under the constraint Σ ⪰ Floor·I, by clamping their eigenvalues. 0: 1e-6.
	Floor float64
	// PriorRows shrinks the covariance of every component towards the one that all components share, as if that had
	// been seen in so many rows of the component (a conjugate prior: Σ = (N S + PriorRows Λ) / (N + PriorRows), Λ from
	// a tied fit). It steadies components with few rows in many dimensions. 0: none, FitModel: d+2; negative: none.
	// Only for Full and Diag.
	PriorRows float64
	Seed      uint64 // of the random starts
	Workers   int    // goroutines; 0: GOMAXPROCS; the result does not depend on it
	// Start, if set, replaces the random starts by the weights, means and covariances of this mixture.
	Start *Mixture
	// Progress, if set, is called after every iteration from the goroutine that runs the start.
	Progress func(Progress)
}

// Progress is how far a fit is.
type Progress struct {
	Restart                int     // from 0
	Iteration              int     // from 1
	LogLikelihoodPerSample float64 // before the iteration's update
}

// DefaultK is 27: three request types, each at low, medium or high load.
const DefaultK = 27

func (s Settings) withDefaults() Settings {
	if s.K == 0 {
		s.K = DefaultK
		if s.Start != nil {
			s.K = s.Start.K
		}
	}
	if s.Covariance == "" {
		s.Covariance = Full
		if s.Start != nil {
			s.Covariance = s.Start.Covariance
		}
	}
	if s.Restarts == 0 {
		s.Restarts = 5
	}
	if s.Start != nil {
		s.Restarts = 1
	}
	if s.MaxIterations == 0 {
		s.MaxIterations = 200
	}
	if s.Tolerance == 0 {
		s.Tolerance = 1e-4
	}
	if s.Floor == 0 {
		s.Floor = 1e-6
	}
	if s.Workers == 0 {
		s.Workers = runtime.GOMAXPROCS(0)
	}
	return s
}

// Validate reports every field outside its range.
func (s Settings) Validate() error {
	var errs []error
	if s.K < 0 {
		errs = append(errs, fmt.Errorf("k %d: want at least 1", s.K))
	}
	if s.Covariance != "" && !s.Covariance.valid() {
		errs = append(errs, fmt.Errorf("covariance %q: want full, diag, tied or spherical", s.Covariance))
	}
	if s.Restarts < 0 {
		errs = append(errs, fmt.Errorf("restarts %d: want at least 1", s.Restarts))
	}
	if s.MaxIterations < 0 {
		errs = append(errs, fmt.Errorf("max iterations %d: want at least 1", s.MaxIterations))
	}
	if math.IsNaN(s.Tolerance) || math.IsInf(s.Tolerance, 0) {
		errs = append(errs, fmt.Errorf("tolerance %g: want a number", s.Tolerance))
	}
	if !(s.Floor >= 0) || math.IsInf(s.Floor, 0) {
		errs = append(errs, fmt.Errorf("covariance floor %g: want a positive number", s.Floor))
	}
	if s.Workers < 0 {
		errs = append(errs, fmt.Errorf("workers %d: want at least 1", s.Workers))
	}
	if st := s.Start; st != nil {
		if s.K != 0 && s.K != st.K {
			errs = append(errs, fmt.Errorf("k %d: the start has %d components", s.K, st.K))
		}
		if s.Covariance != "" && s.Covariance != st.Covariance {
			errs = append(errs, fmt.Errorf("covariance %s: the start has %s", s.Covariance, st.Covariance))
		}
	}
	return errors.Join(errs...)
}
