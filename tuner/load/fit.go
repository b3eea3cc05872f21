package load

import (
	"context"
	"fmt"
	"time"

	"trimtab/cluster"
)

const (
	fitIntervals = 1200   // of which a model is fitted, at most,
	fitCells     = 120000 // and features of all intervals: with more than twenty groups fewer intervals do
	fitPatience  = 2      // numbers of regimes in a row that may fail to explain more
	// fitLasts is observed time: a model of ten groups takes two seconds of a core and one of a hundred some minutes,
	// more than a control step has, so that it is fitted beside the steps. It is taken over when so much has been
	// observed for every fitFeatures of it, neither sooner nor later: decisions follow from what was observed and the
	// seed, and not from the speed of the machine.
	fitLasts    = time.Minute
	fitFeatures = 60
)

// fitting is a model that is being fitted to what was collected when it began.
type fitting struct {
	left   time.Duration // still to be observed before the model is taken over
	stale  bool          // the model before it explains too little
	stop   context.CancelFunc
	result <-chan fitted
}

// fitted is a model, and of which of its components every interval is that it was fitted to; −1: of none that is known.
type fitted struct {
	model      *cluster.Model
	components []int
	err        error
}

// begin fits a model to what was collected so far. The collector may collect on meanwhile.
func begin(c *cluster.Collector, cfg RegimeConfig, seed uint64, stale bool) *fitting {
	rows := min(fitIntervals, max(shortestObserved, fitCells/c.Schema().Dim()))
	all, sample := *c, *c.Thin(rows) // of their own length, so that nothing added later is seen
	ctx, stop := context.WithCancel(context.Background())
	result := make(chan fitted, 1)
	go func() {
		defer stop()
		result <- fit(ctx, &all, &sample, cfg, seed)
	}()
	return &fitting{left: fitLasts * time.Duration(1+c.Schema().Dim()/fitFeatures), stale: stale, stop: stop,
		result: result}
}

// fit tries numbers of regimes up to the one asked for and takes the one with the lowest Bayesian information
// criterion: a steady load has one regime, however much it is looked at, and what is learned must not be scattered.
func fit(ctx context.Context, all, sample *cluster.Collector, cfg RegimeConfig, seed uint64) (out fitted) {
	defer func() {
		if v := recover(); v != nil { // nobody else contains what happens beside a control step
			out = fitted{err: fmt.Errorf("fit regimes: %v", v)}
		}
	}()
	most := min(cfg.Count, max(1, sample.Len()/intervalsPerRegime))
	worse := 0
	for k := 1; ; k = min(most, k+max(1, k/2)) {
		// One worker, for the machine has other things to do.
		m, err := sample.Fit(ctx, cluster.Settings{K: k, Covariance: cluster.Diag, Seed: seed, Workers: 1})
		if err != nil {
			return fitted{err: fmt.Errorf("fit regimes: %w", err)}
		}
		if worse++; out.model == nil || m.Mixture.Fit.BIC < out.model.Mixture.Fit.BIC {
			out.model, worse = m, 0
		}
		if k == most || worse > fitPatience {
			break
		}
	}
	data, w := all.Matrix(), out.model.NewWorkspace()
	out.components = make([]int, all.Len())
	for i := range out.components {
		out.components[i] = cfg.component(out.model.Assign(w, data.RawRowView(i)))
	}
	return out
}
