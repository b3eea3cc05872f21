package rival

import (
	"bytes"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"trimtab/neural"
	"trimtab/vts"
	"trimtab/weights"
)

func smallTD3() TD3Config {
	return TD3Config{Hidden: []int{24, 24}, Gamma: 0.8, Rate: 2e-3, Batch: 16, WarmUp: 60, Decay: 600, Targets: tenMS,
		Seed: 3}
}

func TestTeacherAndStudentsFindTheFastServer(t *testing.T) {
	shape := ShapeOf(twoServers(weightsOf(1, 1)))
	for _, c := range []struct {
		name string
		make func() (Trainee, error)
	}{
		{"the teacher", func() (Trainee, error) { return TrainTD3(shape, smallTD3()) }},
		{"its student", func() (Trainee, error) { return TrainStudent(shape, smallTD3()) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, err := c.make()
			if err != nil {
				t.Fatal(err)
			}
			playTwoServers(t, p, 60)
			if got := playedShare(t, p); got < 0.85 {
				t.Errorf("share of the fast server: got %.3f, want at least 0.85", got)
			}
			m, err := p.Model()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "m.json")
			if err := m.Save(path); err != nil {
				t.Fatal(err)
			}
			back, err := OpenModel(path, m.Kind)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := NewTrained(back); err != nil {
				t.Errorf("played from its file: %v", err)
			}
		})
	}
}

func TestTeachersGoOnWhereTheyWereInterrupted(t *testing.T) {
	shape := ShapeOf(twoServers(weightsOf(1, 1)))
	fresh := func() *TD3 {
		p, err := TrainTD3(shape, smallTD3())
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	whole, first, second := fresh(), fresh(), fresh()
	playTwoServers(t, whole, 10)
	playTwoServers(t, first, 6)
	var kept bytes.Buffer
	if err := first.Save(&kept); err != nil {
		t.Fatal(err)
	}
	if err := second.Restore(&kept); err != nil {
		t.Fatal(err)
	}
	playTwoServers(t, second, 4)
	if !slices.Equal(whole.actor.Params, second.actor.Params) {
		t.Error("interrupted after 6 episodes and gone on with: got another actor than uninterrupted")
	}
	if err := smallDQN(t, 3, ActionSet{}).Restore(strings.NewReader("")); err == nil {
		t.Error("an empty checkpoint: got no error")
	}
	bias := second.train.critics[0].Params
	bias[len(bias)-1] = math.NaN()
	playUntilErr(t, second)
}

// playUntilErr plays until training stops with a DivergedError.
func playUntilErr(t *testing.T, p *TD3) {
	t.Helper()
	current := weightsOf(1, 1)
	for range 100 {
		step(p, twoServers(current), current)
	}
	if err := p.Err(); err == nil || !strings.Contains(err.Error(), "seed 3") {
		t.Errorf("a critic that is no number: got %v, want a DivergedError with its seed", err)
	}
}

func TestStudentsAreTrainedAgainWhenRewardsFall(t *testing.T) {
	shape := ShapeOf(twoServers(weightsOf(1, 1)))
	p, err := TrainStudent(shape, smallTD3())
	if err != nil {
		t.Fatal(err)
	}
	playTwoServers(t, p, 40)
	m, err := p.Model()
	if err != nil {
		t.Fatal(err)
	}
	// Students that know nothing beside a good teacher: rewards are low until they have learned.
	m.Nets[studentNet+"g"] = &neural.Net{Sizes: m.Nets[studentNet+"g"].Sizes, Hidden: neural.Tanh, Output: neural.Tanh,
		Params: make([]float64, len(m.Nets[studentNet+"g"].Params))}
	m.Student.Threshold = RewardOf(twoServers(weightsOf(3, 1)), tenMS)
	s, err := NewStudent(m)
	if err != nil {
		t.Fatal(err)
	}
	current := weightsOf(1, 1)
	for i := range 40 {
		d := step(s, twoServers(current), current)
		if len(d.Weights) > 0 {
			current = d.Weights
		}
		if i < trigger-1 && s.Retrained > 0 {
			t.Fatalf("trained again after %d rewards, want %d first", i+1, trigger)
		}
	}
	if s.Retrained == 0 || current["g"].Shares()["a"] < 0.8 {
		t.Errorf("after 40 intervals: trained again %d times, share of the fast server %.2f, want at least "+
			"once and 0.8",
			s.Retrained, current["g"].Shares()["a"])
	}
	m.Student = nil
	if _, err := NewStudent(m); err == nil {
		t.Error("a file without students: got no error")
	}
}

// manyServers is an interval of three groups of three servers.
func manyServers() (vts.Sample, weights.Set) {
	s, w := vts.Sample{}, weights.Set{}
	for _, name := range []string{"x", "y", "z"} {
		one := sampleOf([3]float64{100, 5, 0}, [3]float64{200, 6, 0}, [3]float64{300, 7, 0})
		s.Interval = one.Interval
		g := one.Groups[0]
		g.Name = name
		s.Groups = append(s.Groups, g)
		w[name] = weightsOf(1, 2, 4)["g"]
	}
	return s, w
}

// BenchmarkDecision is the time of a decision of each learner for three upstreams of three servers.
func BenchmarkDecision(b *testing.B) {
	s, w := manyServers()
	shape := ShapeOf(s)
	play := func(b *testing.B, p Trainee, err error) {
		if err != nil {
			b.Fatal(err)
		}
		p.Begin()
		for range 80 {
			step(p, s, w)
		}
		player, err := p.Player()
		if err != nil || player == nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			player.Observe(s, w)
			player.Choose()
		}
	}
	b.Run("dqn", func(b *testing.B) { p, err := TrainDQN(shape, DQNConfig{WarmUp: 64}); play(b, p, err) })
	b.Run("td3", func(b *testing.B) { p, err := TrainTD3(shape, TD3Config{WarmUp: 60}); play(b, p, err) })
	b.Run("student", func(b *testing.B) { p, err := TrainStudent(shape, TD3Config{WarmUp: 60}); play(b, p, err) })
}

// BenchmarkTraining is the time of one step of training.
func BenchmarkTraining(b *testing.B) {
	s, w := manyServers()
	for _, c := range []struct {
		name string
		make func() (Trainee, error)
	}{
		{"dqn", func() (Trainee, error) { return TrainDQN(ShapeOf(s), DQNConfig{WarmUp: 64}) }},
		{"td3", func() (Trainee, error) { return TrainTD3(ShapeOf(s), TD3Config{WarmUp: 60}) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			p, err := c.make()
			if err != nil {
				b.Fatal(err)
			}
			p.Begin()
			for range 80 {
				step(p, s, w)
			}
			for b.Loop() {
				step(p, s, w)
			}
		})
	}
}
