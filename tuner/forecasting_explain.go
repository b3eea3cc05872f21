package tuner

import (
	"fmt"
	"strings"

	"trimtab/tuner/forecast"
)

// ForecastExplanation is what the twin says of a change, and what came true.
type ForecastExplanation struct {
	ExpectedP99MS  Expected `json:"expected_p99_ms"`
	ExpectedMeanMS Expected `json:"expected_mean_ms"`
	Better         float64  `json:"better_probability"` // that p99 is lower than by holding
	HorizonSec     float64  `json:"horizon_s"`
	MeasuredSec    float64  `json:"measured_s"`      // of the horizon so far
	MeasuredP99MS  float64  `json:"measured_p99_ms"` // over the horizon; 0: it is not over, or was disturbed
	Skipped        string   `json:"skipped,omitempty"`
}

// Expected is what holding and a change are expected to bring; the interval of the change holds nine tenths.
type Expected struct {
	Hold   float64 `json:"hold"`
	Change float64 `json:"change"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// ForecastScore is how well forecasts came true.
type ForecastScore struct {
	Judged      int     `json:"judged"`
	Dropped     int     `json:"not_judgeable"`
	MedianError float64 `json:"median_error"` // relative
	Covered     float64 `json:"covered"`      // share of the intervals that held what was measured
}

func explainForecast(f *forecast.Forecast) *ForecastExplanation {
	expected := func(hold, change forecast.Range) Expected {
		return Expected{Hold: hold.Median * 1e3, Change: change.Median * 1e3, Low: change.Low * 1e3, High: change.High * 1e3}
	}
	return &ForecastExplanation{
		ExpectedP99MS: expected(f.Hold.P99, f.Change.P99), ExpectedMeanMS: expected(f.Hold.Mean, f.Change.Mean),
		Better: f.Better, HorizonSec: f.HorizonSec,
	}
}

// explainOutlook states the last forecast and the score of all.
func (p *pool) explainOutlook(e *PoolExplanation) {
	o := &p.outlook
	if o.explain != nil {
		last := *o.explain // which goes on changing
		e.Forecast = &last
	}
	if s := &o.score; s.Judged+s.Dropped > 0 {
		e.ForecastScore = &ForecastScore{Judged: s.Judged, Dropped: s.Dropped, MedianError: s.MedianError(),
			Covered: s.Covered()}
	}
}

// text says it in words; nothing of nil.
func (f *ForecastExplanation) text(b *strings.Builder) {
	switch {
	case f == nil:
		return
	case f.Skipped != "":
		fmt.Fprintf(b, "  what the change brings was not forecast: %s\n", f.Skipped)
		return
	}
	v := f.ExpectedP99MS
	fmt.Fprintf(b, "  expected p99 %s → %s ms (90 %%: %s–%s) over %.0f s", msecText(v.Hold), msecText(v.Change),
		msecText(v.Low), msecText(v.High), f.HorizonSec)
	switch {
	case f.MeasuredP99MS > 0:
		fmt.Fprintf(b, ", measured %s ms", msecText(f.MeasuredP99MS))
	case f.MeasuredSec > 0 && f.MeasuredSec < f.HorizonSec:
		fmt.Fprintf(b, ", measured after %.0f s more", f.HorizonSec-f.MeasuredSec)
	}
	b.WriteByte('\n')
}

// text says it in words; nothing of nil.
func (s *ForecastScore) text(b *strings.Builder) {
	if s == nil || s.Judged == 0 {
		return
	}
	fmt.Fprintf(b, "  forecasts so far: %d judged, off by %.0f %% in the median, %.0f %% within their interval\n",
		s.Judged, 100*s.MedianError, 100*s.Covered)
}

// msecText writes ms with two significant digits at least.
func msecText(ms float64) string {
	if ms < 10 {
		return fmt.Sprintf("%.1f", ms)
	}
	return fmt.Sprintf("%.0f", ms)
}
