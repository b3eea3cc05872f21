package arena

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"
)

// ForecastSummary says how well the forecasts of a policy came true.
type ForecastSummary struct {
	Policy      string  `json:"policy"`
	Load        string  `json:"load"` // steady, varying or any
	Judged      int     `json:"judged"`
	P99Error    float64 `json:"p99_median_error"` // relative
	P99Ratio    float64 `json:"p99_median_ratio"` // measured ÷ forecast
	P99Covered  float64 `json:"p99_covered"`      // share of the intervals that held what was measured
	MeanError   float64 `json:"mean_median_error"`
	MeanCovered float64 `json:"mean_covered"`
}

// SummariseForecasts sums up the rows that can be judged, by policy and course of the load.
func SummariseForecasts(rows []ForecastRow) []ForecastSummary {
	var out []ForecastSummary
	for _, policy := range policiesOf(rows) {
		for _, load := range []string{"steady", "varying", "any"} {
			s := ForecastSummary{Policy: policy, Load: load}
			var errs, ratios, means []float64
			for _, r := range rows {
				if r.Policy != policy || r.Unjudged != "" || load == "steady" && r.LoadVaries || load == "varying" &&
					!r.LoadVaries {
					continue
				}
				s.Judged++
				errs, means = append(errs, math.Abs(r.P99.Error())), append(means, math.Abs(r.Mean.Error()))
				ratios = append(ratios, r.P99.Measured/r.P99.Median)
				if r.P99.Covered() {
					s.P99Covered++
				}
				if r.Mean.Covered() {
					s.MeanCovered++
				}
			}
			if s.Judged == 0 {
				continue
			}
			n := float64(s.Judged)
			s.P99Covered, s.MeanCovered = s.P99Covered/n, s.MeanCovered/n
			s.P99Error, s.P99Ratio, s.MeanError = middle(errs), middle(ratios), middle(means)
			out = append(out, s)
		}
	}
	return out
}

func middle(x []float64) float64 {
	slices.Sort(x)
	return stat.Quantile(0.5, stat.LinInterp, x, nil)
}

func policiesOf(rows []ForecastRow) []string {
	var out []string
	for _, r := range rows {
		out = with(out, r.Policy)
	}
	return out
}

// UnjudgedForecast says how many forecasts of a policy cannot be judged, by reason.
type UnjudgedForecast struct {
	Policy string         `json:"policy"`
	Made   int            `json:"made"`
	By     map[string]int `json:"unjudged"`
}

// UnjudgedForecasts counts the rows that cannot be judged.
func UnjudgedForecasts(rows []ForecastRow) []UnjudgedForecast {
	var out []UnjudgedForecast
	for _, policy := range policiesOf(rows) {
		u := UnjudgedForecast{Policy: policy, By: map[string]int{}}
		for _, r := range rows {
			if r.Policy == policy {
				u.Made++
				if r.Unjudged != "" {
					u.By[r.Unjudged]++
				}
			}
		}
		out = append(out, u)
	}
	return out
}

// Text says it in words.
func (u *UnjudgedForecast) Text() string {
	parts := make([]string, 0, len(u.By))
	for _, reason := range slices.Sorted(maps.Keys(u.By)) {
		parts = append(parts, fmt.Sprintf("%d for %s", u.By[reason], reason))
	}
	return fmt.Sprintf("%d changes were forecast; not judgeable: %s", u.Made, strings.Join(parts, ", "))
}
