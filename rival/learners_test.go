package rival

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"trimtab/cluster"
	"trimtab/neural"
	"trimtab/objective"
	"trimtab/vts"
	"trimtab/weights"
)

// twoServers is a world in which server a answers in 5 ms and b in 50 ms, for a deadline of 10 ms: the more weight for
// a the better.
func twoServers(current weights.Set) vts.Sample { return twoServersAt(current, 1200) }

// twoServersAt is an interval in which so many requests came.
func twoServersAt(current weights.Set, requests float64) vts.Sample {
	a, b := float64(current["g"]["a"].Weight.Int()), float64(current["g"]["b"].Weight.Int())
	s := sampleOf([3]float64{requests * a / (a + b), 5, 0}, [3]float64{requests * b / (a + b), 50, 0})
	s.Groups[0].Peers[0].Weight, s.Groups[0].Peers[1].Weight = int(a), int(b)
	return s
}

var tenMS = map[string]objective.Target{"g": {Deadline: 10 * time.Millisecond}}

// playTwoServers lets a trainee play episodes, and returns the share of requests that a got at their ends.
func playTwoServers(t *testing.T, p Trainee, episodes int) {
	t.Helper()
	for range episodes {
		p.Begin()
		current := weightsOf(1, 1)
		for i := range 20 {
			if d := step(p, twoServersAt(current, 1100+float64(i*37%200)), current); len(d.Weights) > 0 {
				current = d.Weights
			}
			if err := p.Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// playedShare is the share of a after 20 intervals of what a trainee has learned.
func playedShare(t *testing.T, p Trainee) float64 {
	t.Helper()
	player, err := p.Player()
	if err != nil || player == nil {
		t.Fatalf("player: got %v, %v", player, err)
	}
	current := weightsOf(1, 1)
	for range 20 {
		player.Observe(twoServers(current), current)
		first, second := player.Choose(), player.Choose()
		if !first.Weights.Equal(second.Weights) {
			t.Fatalf("asked twice: got %v and %v", first.Weights, second.Weights)
		}
		if len(first.Weights) > 0 {
			current = first.Weights
		}
	}
	return current["g"].Shares()["a"]
}

func smallDQN(t *testing.T, seed uint64, a ActionSet) *DQN {
	t.Helper()
	d, err := TrainDQN(ShapeOf(twoServers(weightsOf(1, 1))), DQNConfig{Actions: a, Hidden: []int{16, 16}, Gamma: 0.8,
		Rate: 3e-3, Batch: 16, WarmUp: 60,
		Follow: 50, Decay: 1200, Targets: tenMS, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestLearnersFindTheFastServer(t *testing.T) {
	for _, c := range []struct {
		name  string
		make  func(t *testing.T) Trainee
		least float64 // share of a
	}{
		{"a Q-network that steps goes on until nearly all requests are with it", func(t *testing.T) Trainee {
			return smallDQN(t, 1, ActionSet{})
		}, 0.9},
		{"a Q-network over levels takes the best of 1, 3 and 5", func(t *testing.T) Trainee {
			return smallDQN(t, 2, ActionSet{Kind: ActLevels})
		}, 0.83},
		{"the table takes the best of 1, 3 and 5", func(t *testing.T) Trainee {
			p, err := TrainTable(ShapeOf(twoServers(weightsOf(1, 1))), TableConfig{Targets: tenMS, Seed: 3})
			if err != nil {
				t.Fatal(err)
			}
			return p
		}, 0.83},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := c.make(t)
			playTwoServers(t, p, 120)
			if got := playedShare(t, p); got < c.least {
				t.Errorf("share of the fast server: got %.3f, want at least %.2f", got, c.least)
			}
		})
	}
}

func TestTrainingRepeatsAndGoesOn(t *testing.T) {
	net := func(d *DQN) []float64 { return d.net.Params }
	whole := smallDQN(t, 5, ActionSet{})
	playTwoServers(t, whole, 12)
	again := smallDQN(t, 5, ActionSet{})
	playTwoServers(t, again, 7)
	var kept bytes.Buffer
	if err := again.Save(&kept); err != nil {
		t.Fatal(err)
	}
	text := kept.Bytes()
	resumed := smallDQN(t, 5, ActionSet{})
	if err := resumed.Restore(bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	playTwoServers(t, resumed, 5)
	if !slices.Equal(net(whole), net(resumed)) {
		t.Error("interrupted after 7 episodes and gone on with: got other parameters than uninterrupted")
	}
	for _, c := range []struct {
		name string
		into *DQN
		text []byte
		want string
	}{
		{"a checkpoint of another seed is refused", smallDQN(t, 6, ActionSet{}), text, "seed"},
		{"a checkpoint of other settings is refused", smallDQN(t, 5, ActionSet{Kind: ActLevels}), text,
			"another shape"},
		{"half a checkpoint is refused", smallDQN(t, 5, ActionSet{}), text[:len(text)/2], "read checkpoint"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.into.Restore(bytes.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestNumbersThatAreNoneStopTraining(t *testing.T) {
	d := smallDQN(t, 9, ActionSet{})
	playTwoServers(t, d, 5)
	d.net.Params[len(d.net.Params)-1] = math.NaN()
	current := weightsOf(1, 1)
	for range 70 {
		step(d, twoServers(current), current)
	}
	var diverged *DivergedError
	if err := d.Err(); !errors.As(err, &diverged) || diverged.Seed != 9 || diverged.Step == 0 ||
		!strings.Contains(err.Error(), "seed 9") {
		t.Errorf("a parameter that is no number: got %v, want a DivergedError with its step and seed 9", d.Err())
	}
	if _, err := d.Model(); err == nil {
		t.Error("a model is made of it: want an error")
	}
}

func TestModelFilesOfSomethingElseAreRefused(t *testing.T) {
	d := smallDQN(t, 1, ActionSet{})
	playTwoServers(t, d, 6)
	m, err := d.Model()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "m.json")
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	back, err := OpenModel(path, KindDQN)
	if err != nil {
		t.Fatalf("a model as it was written: %v", err)
	}
	if !slices.Equal(back.Nets[qNet].Params, m.Nets[qNet].Params) {
		t.Error("parameters that were written are not those that are read")
	}
	if err := back.Fits(Shape{Groups: []ShapeGroup{{Name: "g", Servers: []string{"a", "c"}}}}); !errors.Is(err,
		ErrOtherModel) {
		t.Errorf("a world with another server: got %v, want ErrOtherModel", err)
	}
	changed := func(change func(*Model)) string {
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var c Model
		if err := json.Unmarshal(text, &c); err != nil {
			t.Fatal(err)
		}
		change(&c)
		if text, err = json.Marshal(c); err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, c := range []struct{ name, text, want string }{
		{"another version", changed(func(m *Model) { m.Version = 2 }), "version 2"},
		{"another kind", changed(func(m *Model) { m.Kind = KindTable }), `of "table"`},
		{"a shape with one more server", changed(func(m *Model) {
			m.Shape.Groups[0].Servers = []string{"a", "b", "c"}
		}), "scaler of inputs"},
		{"no upstreams", changed(func(m *Model) { m.Shape.Groups = nil }), "no upstreams"},
		{"other actions than the network has outputs", changed(func(m *Model) {
			m.Actions = &ActionSet{Kind: ActLevels, Levels: []int{1, 2}}
		}), "outputs"},
		{"no network", changed(func(m *Model) { m.Nets = nil }), "no network"},
		{"too few parameters", changed(func(m *Model) {
			m.Nets[qNet] = &neural.Net{Sizes: []int{9, 5}, Hidden: "relu", Output: "linear"}
		}), "parameters"},
		{"no JSON", "{", "read model"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := ReadModel(strings.NewReader(c.text), KindDQN); err == nil || !strings.Contains(err.Error(),
				c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	player, err := NewDQN(m)
	if err != nil {
		t.Fatal(err)
	}
	other := sampleOf([3]float64{10, 5, 0}, [3]float64{10, 5, 0}, [3]float64{10, 5, 0})
	if d := step(player, other, weightsOf(1, 1, 1)); !d.Empty() || !strings.Contains(d.Reason, "another world") {
		t.Errorf("a server more than the model knows: got %+v, want to hold", d)
	}
}

// Two states that follow each other whatever is done; action x is worth 1 in state 0 and y in state 1, all else
// nothing.
func TestValueIterationSolvesWhatCanBeSolvedByHand(t *testing.T) {
	var history []cluster.Step
	var rewards []float64
	for i := range 400 {
		action := "g=1:1"
		if (i/2)%2 == 1 {
			action = "g=1:5"
		}
		history = append(history, cluster.Step{Regime: i % 2, Action: action, Follows: i > 0})
		reward := 0.0
		if i > 0 && history[i-1].Regime == 0 && action == "g=1:1" || i > 0 && history[i-1].Regime == 1 &&
			action == "g=1:5" {
			reward = 1
		}
		rewards = append(rewards, reward)
	}
	transitions := cluster.CountTransitions([]string{"low", "high"}, history, time.Second)
	table, err := SolveTable(transitions, rewardsByControl(transitions, history, rewards), 0.5)
	if err != nil {
		t.Fatal(err)
	}
	for s, want := range []string{"g=1:1", "g=1:5"} {
		best := table.Best(s)
		if table.Actions[best] != want || math.Abs(table.Q[s][best]-2) > 1e-6 {
			t.Errorf("state %d: got %s of value %.4f, want %s of 1/(1−0.5) = 2", s, table.Actions[best],
				table.Q[s][best], want)
		}
	}
}

func TestActionsOfControlsAreRead(t *testing.T) {
	shape := Shape{Groups: []ShapeGroup{{Name: "g", Servers: []string{"a", "b"}}, {Name: "h", Servers: []string{"c"}}}}
	for _, c := range []struct {
		name, action string
		ok           bool
	}{
		{"all groups with all weights", "g=1:5 h=2", true},
		{"a group is missing", "g=1:5", false},
		{"a weight too many", "g=1:5:1 h=2", false},
		{"a server that is down", "g=-:5 h=2", false},
		{"a weight that is none", "g=0:5 h=2", false},
		{"nothing", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := parseAction(c.action, shape); (err == nil) != c.ok {
				t.Errorf("%q: got %v", c.action, err)
			}
		})
	}
}

func TestActionSets(t *testing.T) {
	for _, c := range []struct {
		name    string
		set     ActionSet
		servers int
		want    int
	}{
		{"levels 1, 3 and 5 of three servers are 25 vectors", ActionSet{Kind: ActLevels}, 3, 25},
		{"steps of two servers move their ratio by −2 to 2", ActionSet{Kind: ActSteps}, 2, 5},
		{"steps of three servers are joint", ActionSet{Kind: ActSteps}, 3, 19},
		{"steps of sixteen servers go one at a time", ActionSet{Kind: ActSteps}, 16, 33},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.set.complete()
			moves := c.set.moves(c.servers)
			if len(moves) != c.want {
				t.Errorf("got %d actions, want %d", len(moves), c.want)
			}
			for _, m := range moves {
				if w := c.set.apply(slices.Repeat([]float64{1}, c.servers), m); len(w) != c.servers {
					t.Fatalf("weights: got %v", w)
				}
			}
		})
	}
	big := Shape{Groups: []ShapeGroup{{Name: "g", Servers: make([]string, 16)}}}
	if err := (ActionSet{Kind: ActLevels, Levels: []int{1, 3, 5}}).validate(big); err == nil {
		t.Error("3¹⁶ vectors are refused: got no error")
	}
}
