package rival

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"trimtab/control"
	"trimtab/neural"
	"trimtab/objective"
	"trimtab/vts"
	"trimtab/weights"
)

// KindStudent names the students.
const KindStudent = "student"

const (
	studentNet    = "student/" // and the group, in a model file
	studentHidden = 16
	// Of imitation: steps of gradient descent, rows of each, step of Adam.
	imitations     = 400
	imitationBatch = 32
	imitationRate  = 3e-3
	// trigger is over how many rewards the mean is taken that calls for training again, kept is how many states are
	// learned from then.
	trigger = 10
	kept    = 256
)

// StudentModel is the part of a model file that only students have.
type StudentModel struct {
	Threshold float64 `json:"threshold"` // of the mean of the last ten rewards, below which a student is trained again
	// DeadlinesMS are those that rewards are counted from, by upstream.
	DeadlinesMS map[string]float64 `json:"deadlines_ms"`
	Seed        uint64             `json:"seed"`
}

// Student is a teacher's replacement in operation, one small tanh network per upstream that sees its own upstream only:
// training is central, execution light. Rewards are watched: when the mean of the last ten falls below the threshold of
// its training, the networks learn from the teacher again, on the states that were met lately.
type Student struct {
	control.Fixed
	shape     Shape
	teacher   *TD3
	nets      []*neural.Net
	targets   map[string]objective.Target
	threshold float64
	rng       *rand.Rand
	pass      neural.Pass
	rewards   []float64
	states    []float64 // scaled, a ring of kept rows
	seen      int
	// Retrained is how often the trigger has called.
	Retrained int
}

var _ control.Policy = (*Student)(nil)

// parts are where the inputs of each group begin and end in a state, and its outputs in an action. Every group sees the
// first input too.
func (s Shape) parts() (inputs, outputs []int) {
	inputs, outputs = []int{1}, []int{0}
	for _, g := range s.Groups {
		inputs = append(inputs, inputs[len(inputs)-1]+1+s.perServer()*len(g.Servers))
		outputs = append(outputs, outputs[len(outputs)-1]+len(g.Servers))
	}
	return inputs, outputs
}

// newStudents returns networks that know nothing.
func newStudents(s Shape, rng *rand.Rand) ([]*neural.Net, error) {
	inputs, outputs := s.parts()
	var out []*neural.Net
	for g := range s.Groups {
		n, err := neural.New([]int{1 + inputs[g+1] - inputs[g], studentHidden, outputs[g+1] - outputs[g]}, neural.Tanh,
			neural.Tanh, rng)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// ownTo writes what the student of a group sees of a state.
func (s Shape) ownTo(x, state []float64, from, to int) {
	x[0] = state[0]
	copy(x[1:], state[from:to])
}

// imitate has students learn what the teacher does in the states, rows that are scaled. It returns the mean squared
// difference at the end.
func imitate(s Shape, nets []*neural.Net, teacher *neural.Net, states []float64, steps int, rng *rand.Rand) float64 {
	width := s.features()
	rows := len(states) / width
	if rows == 0 {
		return 0
	}
	inputs, outputs := s.parts()
	var pass, of neural.Pass
	want := append([]float64(nil), teacher.Forward(&pass, states, rows)...)
	last := 0.0
	for g, net := range nets {
		adam, gradient := neural.Adam{Rate: imitationRate, Clip: 10}, make([]float64, len(net.Params))
		in, out := net.Inputs(), net.Outputs()
		x, dy := make([]float64, imitationBatch*in), make([]float64, imitationBatch*out)
		picked := make([]int, imitationBatch)
		for range steps {
			for i := range picked {
				picked[i] = rng.IntN(rows)
				s.ownTo(x[i*in:(i+1)*in], states[picked[i]*width:(picked[i]+1)*width], inputs[g], inputs[g+1])
			}
			y := net.Forward(&of, x, imitationBatch)
			loss := 0.0
			for i, row := range picked {
				for j := range out {
					off := y[i*out+j] - want[row*teacher.Outputs()+outputs[g]+j]
					loss += off * off
					dy[i*out+j] = off / imitationBatch
				}
			}
			net.Backward(&of, dy, gradient)
			adam.Step(net.Params, gradient)
			last = loss / float64(len(dy))
		}
	}
	return last
}

// NewStudent returns the policy that a model describes.
func NewStudent(m *Model) (*Student, error) {
	if m.Kind != KindStudent {
		return nil, fmt.Errorf("%w: of %q, want %q", ErrOtherModel, m.Kind, KindStudent)
	}
	if err := m.checkStudent(); err != nil {
		return nil, err
	}
	t := newTD3(m.Shape)
	t.actor, t.scaler, t.known = m.Nets[actorNet].Clone(), *m.Scaler, true
	s := &Student{shape: m.Shape, teacher: t, threshold: m.Student.Threshold,
		rng:     rand.New(rand.NewPCG(m.Student.Seed, 0x737475)),
		targets: map[string]objective.Target{}}
	for name, ms := range m.Student.DeadlinesMS {
		s.targets[name] = objective.Target{Deadline: time.Duration(ms * float64(time.Millisecond))}
	}
	for _, g := range m.Shape.Groups {
		s.nets = append(s.nets, m.Nets[studentNet+g.Name].Clone())
	}
	return s, nil
}

func (m *Model) checkStudent() error {
	if m.Student == nil {
		return errors.New("no students")
	}
	if err := m.checkTD3(); err != nil {
		return err
	}
	inputs, outputs := m.Shape.parts()
	for g := range m.Shape.Groups {
		if _, err := m.net(studentNet+m.Shape.Groups[g].Name, 1+inputs[g+1]-inputs[g],
			outputs[g+1]-outputs[g]); err != nil {
			return err
		}
	}
	return nil
}

// Observe implements control.Policy.
func (s *Student) Observe(sample vts.Sample, inForce weights.Set) {
	if d := s.shape.Difference(ShapeOf(sample)); d != "" {
		s.Decision = control.Decision{Reason: "hold: the model is of another world: " + d}
		return
	}
	if sample.Interval <= 0 {
		s.Decision = control.Decision{Reason: "hold: the sample covers no time"}
		return
	}
	t := s.teacher
	s.shape.featuresTo(t.state, sample, inForce)
	t.scaler.ApplyTo(t.scaled, t.state)
	s.remember(RewardOf(sample, s.targets))
	reason := "student"
	if s.called() {
		imitate(s.shape, s.nets, t.actor, s.states, imitations, s.rng)
		s.rewards = s.rewards[:0] // ten new ones before it is called again
		s.Retrained++
		reason = fmt.Sprintf("student: trained again, the mean of the last %d rewards was below %.3f", trigger,
			s.threshold)
	}
	s.Decision = control.Decision{Weights: sharesOf(sample, s.act(t.scaled), inForce), Reason: reason}
}

// act is what the students do in a scaled state.
func (s *Student) act(state []float64) []float64 {
	inputs, outputs := s.shape.parts()
	action := make([]float64, s.shape.servers())
	var room [64]float64
	for g, net := range s.nets {
		x := room[:]
		if net.Inputs() > len(x) {
			x = make([]float64, net.Inputs())
		}
		x = x[:net.Inputs()]
		s.shape.ownTo(x, state, inputs[g], inputs[g+1])
		copy(action[outputs[g]:], net.Forward(&s.pass, x, 1))
	}
	return action
}

func (s *Student) remember(reward float64) {
	if len(s.rewards) == trigger {
		copy(s.rewards, s.rewards[1:])
		s.rewards = s.rewards[:trigger-1]
	}
	s.rewards = append(s.rewards, reward)
	width := s.shape.features()
	if len(s.states) < kept*width {
		s.states = append(s.states, s.teacher.scaled...)
	} else {
		copy(s.states[s.seen%kept*width:], s.teacher.scaled)
	}
	s.seen++
}

// called reports whether the mean of the last rewards is below the threshold.
func (s *Student) called() bool {
	if len(s.rewards) < trigger {
		return false
	}
	sum := 0.0
	for _, r := range s.rewards {
		sum += r / trigger
	}
	return sum < s.threshold
}

// StudentTrainer trains a teacher; what it leaves are students of it.
type StudentTrainer struct {
	*TD3
}

var _ Trainee = (*StudentTrainer)(nil)

// TrainStudent returns a trainer whose teacher knows nothing.
func TrainStudent(s Shape, c TD3Config) (*StudentTrainer, error) {
	t, err := TrainTD3(s, c)
	if err != nil {
		return nil, err
	}
	return &StudentTrainer{t}, nil
}

// thresholdMargin is how far below the mean reward of its training, latest part, a student's rewards may be, in reward.
const thresholdMargin = 0.3

// Model implements Trainee: students that imitate the teacher as it is now, on the states that it has met.
func (t *StudentTrainer) Model() (*Model, error) {
	m, err := t.TD3.Model()
	if err != nil {
		return nil, err
	}
	x := t.train
	rng := rand.New(rand.NewPCG(x.cfg.Seed, 0x696d6974))
	nets, err := newStudents(t.shape, rng)
	if err != nil {
		return nil, err
	}
	width := t.shape.features()
	rows := min(x.memory.len(), 4*kept)
	states := make([]float64, rows*width)
	for i := range rows {
		k := rng.IntN(x.memory.len())
		t.scaler.ApplyTo(states[i*width:(i+1)*width], x.memory.States[k*width:(k+1)*width])
	}
	imitate(t.shape, nets, t.actor, states, imitations, rng)
	m.Kind, m.Student = KindStudent, &StudentModel{Seed: x.cfg.Seed, DeadlinesMS: map[string]float64{}}
	for g, n := range nets {
		m.Nets[studentNet+t.shape.Groups[g].Name] = n
	}
	for name, target := range x.cfg.Targets {
		m.Student.DeadlinesMS[name] = float64(target.Deadline) / float64(time.Millisecond)
	}
	// Rewards in the memory are shaped, which adds up to nearly nothing over a run.
	sum, n := 0.0, min(x.memory.len(), kept)
	for i := range n {
		sum += x.memory.Rewards[(x.memory.At+x.memory.len()-1-i)%x.memory.len()]
	}
	m.Student.Threshold = sum/float64(n) - thresholdMargin
	return m, nil
}

// Player implements Trainee.
func (t *StudentTrainer) Player() (control.Policy, error) {
	if !t.known {
		return nil, nil
	}
	m, err := t.Model()
	if err != nil {
		return nil, err
	}
	return NewStudent(m)
}

// Save and Restore are the teacher's: students are made of it anew.
func (t *StudentTrainer) Save(w io.Writer) error { return t.TD3.Save(w) }

// Restore implements Trainee.
func (t *StudentTrainer) Restore(r io.Reader) error { return t.TD3.Restore(r) }
