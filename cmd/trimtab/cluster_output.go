package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"trimtab/cluster"
)

// write writes the files that were asked for.
func (a *analysis) write(f *clusterFlags) error {
	for _, file := range []struct {
		path  string
		write func(io.Writer) error
	}{
		{f.out, a.model.Write},
		{f.assignments, a.writeAssignments},
		{f.transitions, func(w io.Writer) error {
			if strings.EqualFold(filepath.Ext(f.transitions), ".json") {
				enc := json.NewEncoder(w)
				enc.SetIndent("", " ")
				return enc.Encode(a.transitions)
			}
			return a.transitions.WriteCSV(w)
		}},
		{f.plot, func(w io.Writer) error { return a.plot(w, f.plot) }},
	} {
		if file.path == "" {
			continue
		}
		if err := writeWhole(file.path, file.write); err != nil {
			return err
		}
	}
	return nil
}

// writeWhole writes a file through a temporary one beside it, so that no half of one is ever seen.
func writeWhole(path string, write func(io.Writer) error) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	out := bufio.NewWriter(tmp)
	if err := write(out); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if err := tmp.Chmod(0o644); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// writeAssignments writes one line per interval or row.
func (a *analysis) writeAssignments(w io.Writer) error {
	out := csv.NewWriter(w)
	header := []string{"row"}
	if a.intervals != nil {
		header = []string{"at", "interval_s"}
	}
	out.Write(append(header, "regime", "label", "probability", "log_density", "distance2", "novel"))
	for i, s := range a.assigned {
		line := []string{strconv.Itoa(i + 1)}
		if a.intervals != nil {
			in := a.intervals[i].Sample
			line = []string{in.At.Format(time.RFC3339Nano), number(in.Interval.Seconds())}
		}
		out.Write(append(line, strconv.Itoa(s.Regime), a.model.Regimes[s.Regime].Label, number(s.Probability),
			number(s.LogDensity), number(s.Distance2), strconv.FormatBool(s.Novel)))
	}
	out.Flush()
	return out.Error()
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 8, 64) }

// novelShare is the share of novel intervals or rows.
func (a *analysis) novelShare() float64 {
	var n int
	for _, s := range a.assigned {
		if s.Novel {
			n++
		}
	}
	return float64(n) / float64(max(1, len(a.assigned)))
}

// regimeJSON is one regime of the last line.
type regimeJSON struct {
	Label  string   `json:"label"`
	Share  float64  `json:"share"`
	DwellS *float64 `json:"dwell_s,omitempty"`
}

// fitJSON is the last line of --json.
type fitJSON struct {
	K            int                `json:"k"`
	N            int                `json:"n"`
	D            int                `json:"d"`
	Covariance   cluster.Covariance `json:"covariance"`
	LogLik       float64            `json:"log_likelihood_per_sample"`
	BIC          float64            `json:"bic"`
	AIC          float64            `json:"aic"`
	ICL          float64            `json:"icl"`
	Iterations   int                `json:"iterations"`
	Converged    bool               `json:"converged"`
	Reseeded     int                `json:"reseeded"`
	FlooredCount int                `json:"floored"`
	Seed         uint64             `json:"seed"`
	Seconds      float64            `json:"seconds"`
	NovelShare   *float64           `json:"novel_share,omitempty"`
	Skipped      *skipped           `json:"skipped,omitempty"`
	Agreement    *scheduleAgreement `json:"agreement,omitempty"`
	Regimes      []regimeJSON       `json:"regimes"`
}

func (a *analysis) printJSON(w io.Writer) error {
	for _, c := range a.curve {
		if err := printJSON(w, c); err != nil {
			return err
		}
	}
	mix := a.model.Mixture
	fit := mix.Fit
	out := fitJSON{
		K: mix.K, N: fit.N, D: mix.D, Covariance: mix.Covariance, LogLik: fit.LogLikelihoodPerSample, BIC: fit.BIC,
		AIC: fit.AIC,
		ICL: fit.ICL, Iterations: fit.Iterations, Converged: fit.Converged, Reseeded: fit.Reseeded,
		FlooredCount: len(fit.Floored), Seed: fit.Seed, Seconds: a.seconds, Agreement: a.agreement,
	}
	if a.assigned != nil {
		share := a.novelShare()
		out.NovelShare = &share
	}
	if a.intervals != nil {
		out.Skipped = &a.skipped
	}
	for k, r := range a.model.Regimes {
		row := regimeJSON{Label: r.Label, Share: r.Share}
		if a.transitions != nil {
			if dwell, known := a.transitions.All.Dwell(k); known {
				seconds := dwell * a.transitions.Interval.Seconds()
				row.DwellS = &seconds
			}
		}
		out.Regimes = append(out.Regimes, row)
	}
	return printJSON(w, out)
}

// print writes the tables that people read.
func (a *analysis) print(w io.Writer) error {
	mix, fit := a.model.Mixture, a.model.Mixture.Fit
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	if len(a.curve) > 0 {
		fmt.Fprintf(out, "k\tlog-likelihood\tBIC\tAIC\tICL\t\n")
		for _, c := range a.curve {
			mark := ""
			if c.K == mix.K {
				mark = "*"
			}
			fmt.Fprintf(out, "%d%s\t%.4f\t%.0f\t%.0f\t%.0f\t\n", c.K, mark, c.LogLikelihoodPerSample, c.BIC, c.AIC,
				c.ICL)
		}
		fmt.Fprintln(out)
	}
	a.printRegimes(out)
	if err := out.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%d rows, %d features, %d regimes, %s covariance: log-likelihood %.4f per row, BIC %.0f, %d "+
		"iterations, %.2f s, seed %d\n",
		fit.N, mix.D, mix.K, mix.Covariance, fit.LogLikelihoodPerSample, fit.BIC, fit.Iterations, a.seconds, fit.Seed)
	if a.fitted && !fit.Converged {
		fmt.Fprintln(w, "not converged: give more --max-iterations or a larger --tolerance")
	}
	if n := len(fit.Floored); n > 0 {
		fmt.Fprintf(w, "%d of %d covariances are singular or nearly so and rest on the floor: features that do not "+
			"vary or depend on each other within a regime\n", n, mix.K)
	}
	if fit.Reseeded > 0 {
		fmt.Fprintf(w, "%d times a component emptied and was moved\n", fit.Reseeded)
	}
	if a.assigned != nil {
		fmt.Fprintf(w, "%.2f %% of the rows are novel\n", 100*a.novelShare())
	}
	if a.intervals != nil {
		fmt.Fprintln(w, a.skipped.String())
	}
	if a.agreement != nil {
		fmt.Fprintln(w, a.agreement.String())
	}
	return nil
}

func (a *analysis) printRegimes(w io.Writer) {
	m := a.model
	rates := m.GroupRates()
	fmt.Fprint(w, "regime\tshare\t")
	if rates != nil {
		for _, g := range m.Schema.Groups {
			fmt.Fprintf(w, "%s /s\t", cluster.ShortName(g.Name))
		}
	}
	columns := min(m.Mixture.D, 8)
	if m.Schema.Set == cluster.ColumnFeatures {
		for _, c := range m.Schema.Columns[:columns] {
			fmt.Fprintf(w, "%s\t", c)
		}
		if columns < m.Mixture.D {
			fmt.Fprint(w, "…\t")
		}
	}
	if a.transitions != nil {
		fmt.Fprint(w, "stays s\t")
	}
	fmt.Fprintln(w, " label")
	for k, r := range m.Regimes {
		fmt.Fprintf(w, "%d\t%.1f %%\t", k, 100*r.Share)
		if rates != nil {
			for _, v := range rates[k] {
				fmt.Fprintf(w, "%.0f\t", v)
			}
		}
		if m.Schema.Set == cluster.ColumnFeatures {
			for j := range columns {
				fmt.Fprintf(w, "%.4g\t", m.Mixture.Mean(k)[j]*m.Scaler.Deviation[j]+m.Scaler.Mean[j])
			}
			if columns < m.Mixture.D {
				fmt.Fprint(w, "…\t")
			}
		}
		if a.transitions != nil {
			if dwell, known := a.transitions.All.Dwell(k); known {
				fmt.Fprintf(w, "%.0f\t", dwell*a.transitions.Interval.Seconds())
			} else {
				fmt.Fprint(w, "–\t")
			}
		}
		fmt.Fprintln(w, " "+r.Label)
	}
}
