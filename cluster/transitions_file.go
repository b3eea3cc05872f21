package cluster

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
)

// WriteCSV writes one line per transition seen: action (empty: all), from, to, their labels, count, count of the
// row and probability. A regime that was never left has one line without to and probability, and seen=false.
func (t *Transitions) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	out.Write([]string{"action", "from", "from_label", "to", "to_label", "count", "row_count", "probability", "seen"})
	for _, c := range t.chains() {
		for from := range c.k {
			count, p, seen := c.Row(from)
			if !seen {
				out.Write([]string{c.Action, strconv.Itoa(from), t.Labels[from], "", "", "0", "0", "", "false"})
				continue
			}
			for to, v := range p {
				if n := c.Counts[from*c.k+to]; n > 0 {
					out.Write([]string{
						c.Action, strconv.Itoa(from), t.Labels[from], strconv.Itoa(to), t.Labels[to],
						strconv.Itoa(n), strconv.Itoa(count), strconv.FormatFloat(v, 'g', -1, 64), "true",
					})
				}
			}
		}
	}
	out.Flush()
	return out.Error()
}

func (t *Transitions) chains() []Chain { return append([]Chain{t.All}, t.Actions...) }

type chainJSON struct {
	Action      string    `json:"action"` // empty: all
	Transitions int       `json:"transitions"`
	Rows        []rowJSON `json:"rows"`
	Stationary  []float64 `json:"stationary"`
}

type rowJSON struct {
	From          int       `json:"from"`
	Label         string    `json:"label"`
	Seen          bool      `json:"seen"`
	Counts        []int     `json:"counts,omitempty"`
	Probabilities []float64 `json:"probabilities,omitempty"`
	EntropyBits   *float64  `json:"entropy_bits"`
	DwellS        *float64  `json:"dwell_s"` // null: never seen or never left
}

// MarshalJSON writes every chain with its rows, entropies, dwell times and stationary distribution.
func (t *Transitions) MarshalJSON() ([]byte, error) {
	doc := struct {
		IntervalS float64     `json:"interval_s"`
		Regimes   []string    `json:"regimes"`
		Mixed     int         `json:"mixed_control"`
		Chains    []chainJSON `json:"chains"`
	}{IntervalS: t.Interval.Seconds(), Regimes: t.Labels, Mixed: t.Mixed}
	for _, c := range t.chains() {
		out := chainJSON{Action: c.Action, Transitions: c.Total(), Stationary: c.Stationary()}
		for from := range c.k {
			row := rowJSON{From: from, Label: t.Labels[from]}
			if _, p, seen := c.Row(from); seen {
				h := c.Entropy(from)
				row.Seen, row.Counts, row.Probabilities, row.EntropyBits = true, c.Counts[from*c.k:(from+1)*c.k], p, &h
			}
			if dwell, known := c.Dwell(from); known {
				seconds := dwell * t.Interval.Seconds()
				row.DwellS = &seconds
			}
			out.Rows = append(out.Rows, row)
		}
		doc.Chains = append(doc.Chains, out)
	}
	return json.Marshal(doc)
}
