package arena

import (
	"math"
	"reflect"
	"testing"
)

func TestEnvPlaysAnEpisode(t *testing.T) {
	env := NewEnv("", SimOptions{})
	if _, _, _, _, err := env.Step(nil); err == nil {
		t.Error("a step before the first reset: got no error")
	}
	sc := small(t)
	first, err := env.Reset(sc, 5)
	if err != nil {
		t.Fatal(err)
	}
	if g := first.Groups[0]; g.DeadlineMS != 60 || !reflect.DeepEqual(g.Servers, []string{"a", "b"}) ||
		!reflect.DeepEqual(g.Weights, []int{1, 1}) || len(g.Buckets) != 2 {
		t.Errorf("first observation: got %+v", g)
	}
	episode := func(weights map[string][]float64) (rewards []float64) {
		if _, err := env.Reset(sc, 5); err != nil {
			t.Fatal(err)
		}
		for done := false; !done; {
			o, reward, d, info, err := env.Step(weights)
			if err != nil {
				t.Fatal(err)
			}
			if reward != -info.ARTPerRequest || len(o.Groups[0].RatePerSec) != 2 {
				t.Fatalf("the reward is −ART per request: got %v, %+v", reward, info)
			}
			rewards, done = append(rewards, reward), d
		}
		return rewards
	}
	equal, better := episode(nil), episode(map[string][]float64{"g": {1, 2}})
	if len(equal) != 19 || len(better) != 19 {
		t.Fatalf("one interval in the reset and 19 steps: got %d and %d", len(equal), len(better))
	}
	if sum(better) < sum(equal)/10 {
		t.Errorf("weights by capacity earn more: got %v and %v", sum(better), sum(equal))
	}
	if again := episode(map[string][]float64{"g": {1, 2}}); !reflect.DeepEqual(again, better) {
		t.Error("the same seed and weights earn the same: got other rewards")
	}
	if _, _, done, _, err := env.Step(nil); err == nil || !done {
		t.Error("a step after the last: got no error")
	}
}

func sum(x []float64) (s float64) {
	for _, v := range x {
		s += v
	}
	return s
}

func TestEnvRefusesBadWeights(t *testing.T) {
	env := NewEnv("least_conn", SimOptions{})
	if _, err := env.Reset(small(t), 1); err != nil {
		t.Fatal(err)
	}
	for about, w := range map[string]map[string][]float64{
		"too long":      {"g": {1, 2, 3}},
		"too short":     {"g": {1}},
		"empty":         {"g": {}},
		"not a number":  {"g": {1, math.NaN()}},
		"infinite":      {"g": {1, math.Inf(1)}},
		"zero":          {"g": {0, 1}},
		"not whole":     {"g": {1.5, 1}},
		"beyond 100":    {"g": {1, 101}},
		"unknown group": {"h": {1, 1}},
	} {
		before := env.run.Now()
		if _, _, _, _, err := env.Step(w); err == nil || env.run.Now() != before {
			t.Errorf("%s: got %v, and %v were played", about, err, env.run.Now()-before)
		}
	}
}
