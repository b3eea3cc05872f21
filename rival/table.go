package rival

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"trimtab/cluster"
	"trimtab/control"
	"trimtab/vts"
	"trimtab/weights"
)

// KindTable names the policy by value iteration.
const KindTable = "table"

// TableModel is a Markov decision process and its solution. States are regimes of load, actions weight vectors as
// cluster.Control writes them.
type TableModel struct {
	Gamma   float64  `json:"gamma"`
	Actions []string `json:"actions"`
	// Counts are the transitions by state and action, Reward their mean reward, Q the values, each states×actions.
	// Where nothing was counted Q is that of the action that is best over all states.
	Counts [][]int     `json:"counts"`
	Reward [][]float64 `json:"reward"`
	Q      [][]float64 `json:"q"`
}

// leastCount is how often an action must have been counted in a state before its mean reward is believed there.
const leastCount = 2

// SolveTable finds the values of the actions by value iteration on P(s'|s,a) as the transitions say and on the mean
// rewards, by state and action in the order of t.Actions:
//
//	Q(s, a) = R(s, a) + γ·Σ_s' P(s'|s, a)·max_b Q(s', b)
//
// until no value changes by more than 1e-9. A row of P is of the transitions from s under a: reward[s][a] belongs to
// the interval that they lead to.
func SolveTable(t *cluster.Transitions, reward [][]float64, gamma float64) (*TableModel, error) {
	if !(gamma >= 0 && gamma < 1) {
		return nil, fmt.Errorf("solve table: gamma %v: want 0 to below 1", gamma)
	}
	states := len(t.Labels)
	out := &TableModel{Gamma: gamma, Reward: reward}
	rows := make([][][]float64, states) // P by state and action; nil: never counted
	for s := range states {
		counts, q := make([]int, len(t.Actions)), make([]float64, len(t.Actions))
		rows[s] = make([][]float64, len(t.Actions))
		for a, c := range t.Actions {
			n, p, _ := c.Row(s)
			if counts[a] = n; n >= leastCount {
				rows[s][a] = p
			}
		}
		out.Counts, out.Q = append(out.Counts, counts), append(out.Q, q)
	}
	for _, c := range t.Actions {
		out.Actions = append(out.Actions, c.Action)
	}
	value := make([]float64, states)
	for change := math.Inf(1); change > 1e-9; {
		change = 0
		for s := range states {
			best, any := math.Inf(-1), false
			for a, p := range rows[s] {
				if p == nil {
					continue
				}
				q := reward[s][a]
				for next, v := range p {
					q += gamma * v * value[next]
				}
				out.Q[s][a] = q
				best, any = math.Max(best, q), true
			}
			if any {
				change = math.Max(change, math.Abs(best-value[s]))
				value[s] = best
			}
		}
	}
	out.fillIn(rows)
	return out, nil
}

// fillIn gives pairs that were never counted the mean value of the action over the states in which it was; an action
// that was counted nowhere gets the worst value of all.
func (m *TableModel) fillIn(rows [][][]float64) {
	worst := 0.0
	for s := range m.Q {
		for a := range m.Q[s] {
			if rows[s][a] != nil {
				worst = math.Min(worst, m.Q[s][a])
			}
		}
	}
	for a := range m.Actions {
		sum, n := 0.0, 0.0
		for s := range m.Q {
			if rows[s][a] != nil {
				sum, n = sum+m.Q[s][a], n+1
			}
		}
		mean := worst
		if n > 0 {
			mean = sum / n
		}
		for s := range m.Q {
			if rows[s][a] == nil {
				m.Q[s][a] = mean
			}
		}
	}
}

// Best is the action of the greatest value in a state.
func (m *TableModel) Best(state int) int {
	best := 0
	for a, q := range m.Q[state] {
		if q > m.Q[state][best] {
			best = a
		}
	}
	return best
}

// Table plays the action of the greatest value in the regime that the load is in: the policy of the original plan,
// regimes by clustering, transitions between them as a Markov decision process, solved once.
type Table struct {
	control.Fixed
	shape   Shape
	table   *TableModel
	actions []map[string][]weights.Weight // by action and group
	tracker *cluster.Tracker
}

var _ control.Policy = (*Table)(nil)

// NewTable returns the policy that a model describes, for a world of the model's shape.
func NewTable(m *Model) (*Table, error) {
	if m.Kind != KindTable {
		return nil, fmt.Errorf("%w: of %q, want %q", ErrOtherModel, m.Kind, KindTable)
	}
	if err := m.checkTable(); err != nil {
		return nil, err
	}
	regimes, err := cluster.ReadModel(bytes.NewReader(m.Regimes))
	if err != nil {
		return nil, fmt.Errorf("table: %w", err)
	}
	tracker, err := cluster.NewTracker(regimes, cluster.TrackerSettings{Memory: -1})
	if err != nil {
		return nil, fmt.Errorf("table: %w", err)
	}
	t := &Table{shape: m.Shape, table: m.Table, tracker: tracker}
	for _, a := range m.Table.Actions {
		w, err := parseAction(a, m.Shape)
		if err != nil {
			return nil, err
		}
		t.actions = append(t.actions, w)
	}
	return t, nil
}

func (m *Model) checkTable() error {
	if m.Table == nil || len(m.Table.Actions) == 0 || len(m.Regimes) == 0 {
		return errors.New("no table, no actions or no regimes")
	}
	regimes, err := cluster.ReadModel(bytes.NewReader(m.Regimes))
	if err != nil {
		return err
	}
	if len(m.Table.Q) != regimes.Mixture.K {
		return fmt.Errorf("values for %d regimes of %d", len(m.Table.Q), regimes.Mixture.K)
	}
	for _, q := range m.Table.Q {
		if len(q) != len(m.Table.Actions) {
			return fmt.Errorf("%d values for %d actions", len(q), len(m.Table.Actions))
		}
	}
	for _, a := range m.Table.Actions {
		if _, err := parseAction(a, m.Shape); err != nil {
			return err
		}
	}
	return nil
}

// parseAction reads weights as cluster.Control writes them. Servers that were down have no weight: such an action is
// refused.
func parseAction(action string, shape Shape) (map[string][]weights.Weight, error) {
	out := map[string][]weights.Weight{}
	for part := range strings.FieldsSeq(action) {
		name, list, ok := strings.Cut(part, "=")
		if !ok {
			return nil, fmt.Errorf("parse action %q: %q: want upstream=weight:weight", action, part)
		}
		for text := range strings.SplitSeq(list, ":") {
			n, err := strconv.Atoi(text)
			if err != nil {
				return nil, fmt.Errorf("parse action %q: weight %q: not a number", action, text)
			}
			w, err := weights.New(n)
			if err != nil {
				return nil, fmt.Errorf("parse action %q: %w", action, err)
			}
			out[name] = append(out[name], w)
		}
	}
	for _, g := range shape.Groups {
		if len(out[g.Name]) != len(g.Servers) {
			return nil, fmt.Errorf("parse action %q: %d weights for the %d servers of %s", action, len(out[g.Name]),
				len(g.Servers), g.Name)
		}
	}
	if len(out) != len(shape.Groups) {
		return nil, fmt.Errorf("parse action %q: %d upstreams, want %d", action, len(out), len(shape.Groups))
	}
	return out, nil
}

// Observe implements control.Policy.
func (t *Table) Observe(s vts.Sample, inForce weights.Set) {
	if diff := t.shape.Difference(ShapeOf(s)); diff != "" {
		t.Decision = control.Decision{Reason: "hold: the model is of another world: " + diff}
		return
	}
	at, err := t.tracker.Track(&s)
	if err != nil {
		t.Decision = control.Decision{Reason: "hold: " + err.Error()}
		return
	}
	a := t.table.Best(at.Regime)
	w := weights.Set{}
	for _, g := range s.Groups {
		if m := settings(g, t.actions[a][g.Name]); !m.Equal(inForce[g.Name]) {
			w[g.Name] = m
		}
	}
	t.Decision = control.Decision{Weights: w, Reason: fmt.Sprintf("table: regime %d, value %.3f", at.Regime,
		t.table.Q[at.Regime][a])}
}

// rewardsByControl is the mean reward by state and action of a history, rewards being those of its steps.
func rewardsByControl(t *cluster.Transitions, history []cluster.Step, rewards []float64) [][]float64 {
	sum, n := make([][]float64, len(t.Labels)), make([][]float64, len(t.Labels))
	for s := range sum {
		sum[s], n[s] = make([]float64, len(t.Actions)), make([]float64, len(t.Actions))
	}
	for i := 1; i < len(history); i++ {
		to := history[i]
		if !to.Follows || to.Mixed {
			continue
		}
		a := slices.IndexFunc(t.Actions, func(c cluster.Chain) bool { return c.Action == to.Action })
		s := history[i-1].Regime
		sum[s][a] += rewards[i]
		n[s][a]++
	}
	for s := range sum {
		for a := range sum[s] {
			sum[s][a] /= max(n[s][a], 1)
		}
	}
	return sum
}
