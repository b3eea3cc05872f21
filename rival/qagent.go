package rival

import (
	"errors"
	"fmt"
	"slices"
)

// QAgent is the deep Q-network for worlds that are no upstream groups: states are vectors, actions whole numbers, one
// for each head.
type QAgent struct{ d *DQN }

// NewQAgent returns an agent that knows nothing, with so many actions of each head. Of the configuration it needs
// neither actions nor targets.
func NewQAgent(inputs int, heads []int, c DQNConfig) (*QAgent, error) {
	c.complete()
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("train dqn: %w", err)
	}
	if inputs < 1 || len(heads) == 0 || slices.Min(heads) < 2 {
		return nil, errors.New("train dqn: want at least one input, one head and two actions of each")
	}
	d := &DQN{first: []int{0}, state: make([]float64, inputs), scaled: make([]float64, inputs)}
	for _, n := range heads {
		d.first = append(d.first, d.outputs()+n)
	}
	return &QAgent{d}, d.begin(c)
}

// Begin begins an episode.
func (q *QAgent) Begin() { q.d.Begin() }

// Act learns what the last action brought and that it led to the state, and chooses the next one, exploring.
func (q *QAgent) Act(state []float64, reward float64) ([]int, error) {
	copy(q.d.state, state)
	picks, _ := q.d.learn(reward, 0)
	return picks, q.d.Err()
}

// Best is the action of the greatest value of each head, without exploring; 0 before anything was learned.
func (q *QAgent) Best(state []float64) []int {
	if !q.d.known {
		return make([]int, q.d.heads())
	}
	copy(q.d.state, state)
	return q.d.best()
}

// Steps is the number of transitions that were learned from.
func (q *QAgent) Steps() int { return q.d.Steps() }
