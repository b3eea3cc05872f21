package rival

import (
	"testing"

	"trimtab/vts"
)

// A learner that was trained with what machines say goes on where they are silent.
func TestMachinesAreInputs(t *testing.T) {
	s, inForce := manyServers()
	shape := ShapeOf(s)
	plain := shape.features()
	shape.Hosts = true
	if got, want := shape.features(), plain+9*hostFeatures; got != want {
		t.Fatalf("inputs: got %d, want %d", got, want)
	}
	silent, talks := make([]float64, shape.features()), make([]float64, shape.features())
	shape.featuresTo(silent, s, inForce)
	with := s
	with.Hosts = []vts.HostSample{{Server: s.Groups[0].Peers[0].Server, CPU: 0.5, Memory: 0.25, CPUPressure: 0.125}}
	shape.featuresTo(talks, with, inForce)
	first := 2 + ownFeatures // after the pressure and the group's rate
	for i, want := range []float64{0.5, 0.25, 0.125} {
		if talks[first+i] != want || silent[first+i] != unknownHost {
			t.Errorf("input %d of a machine: got %v, and %v of a silent one, want %v and %v", i, talks[first+i],
				silent[first+i], want, float64(unknownHost))
		}
	}
	for _, c := range []struct {
		name string
		make func() (Trainee, error)
	}{
		{"dqn", func() (Trainee, error) { return TrainDQN(shape, DQNConfig{Batch: 32, WarmUp: 60}) }},
		{"td3", func() (Trainee, error) { return TrainTD3(shape, TD3Config{WarmUp: 60}) }},
		{"student", func() (Trainee, error) { return TrainStudent(shape, TD3Config{WarmUp: 60}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, err := c.make()
			if err != nil {
				t.Fatal(err)
			}
			p.Begin()
			for range 80 {
				step(p, with, inForce)
			}
			if err := p.Err(); err != nil {
				t.Fatal(err)
			}
			m, err := p.Model()
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Fits(ShapeOf(s)); err != nil {
				t.Errorf("a world whose machines are silent: got %v, want the model to fit", err)
			}
			player, err := NewTrained(m)
			if err != nil {
				t.Fatal(err)
			}
			player.Observe(s, inForce)
			if d := player.Choose(); d.Reason == "" || len(d.Reason) > 4 && d.Reason[:4] == "hold" {
				t.Errorf("without machines: got %q, want a decision", d.Reason)
			}
		})
	}
}
