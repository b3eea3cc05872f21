package load

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"
)

// play tells a forecast visits of components of a mixture: component, seconds.
func play(f *Forecast, rates [][]float64, visits ...[2]float64) {
	for _, v := range visits {
		for t := 0.0; t < v[1]; t += 3 {
			f.Observe(interval{component: int(v[0]), sec: 3, rates: rates[int(v[0])]})
		}
	}
}

// dayAndNight are two regimes; the day has two components that ask for nearly the same.
var dayAndNight = [][]float64{{10, 5}, {100, 20}, {104, 21}}

func TestAForecastKnowsWhatFollowsAndWhen(t *testing.T) {
	f := NewForecast([]string{"a", "b"}, 3)
	for range 4 {
		play(f, dayAndNight, [2]float64{0, 300}, [2]float64{1, 90}, [2]float64{2, 90}, [2]float64{1, 90})
	}
	if n := len(f.Demands); n != 2 {
		t.Fatalf("got %d demands of 3 components, want 2: two ask for nearly the same", n)
	}
	play(f, dayAndNight, [2]float64{0, 60})
	now, age := f.Now()
	if now != 0 || math.Abs(age-60) > 4 {
		t.Fatalf("got demand %d for %.0f s, want the night for 60 s", now, age)
	}
	_, early, _ := f.Within(30)
	play(f, dayAndNight, [2]float64{0, 225})
	likely, late, known := f.Within(30)
	if !known || early < 0.95 || late > 0.6 {
		t.Errorf("the night stays with %.2f after a minute and %.2f shortly before it ends, want about 1 and little", early, late)
	}
	if len(likely) != 1 || likely[0].Demand != 1 || math.Abs(likely[0].Probability+late-1) > 1e-9 {
		t.Errorf("got %+v, want the day with all that is left", likely)
	}
}

func TestABurstIsNoRegime(t *testing.T) {
	f := NewForecast([]string{"a", "b"}, 3)
	play(f, dayAndNight, [2]float64{0, 300}, [2]float64{1, 6}, [2]float64{0, 294}, [2]float64{1, 270},
		[2]float64{0, 30})
	d := f.Demands[0]
	if d.Visits != 1 || math.Abs(math.Exp(d.LogLength)-600) > 10 {
		t.Errorf("got %.0f visits of %.0f s, want one of 600 s: 6 s of another load do not end it", d.Visits,
			math.Exp(d.LogLength))
	}
}

func TestAnUnknownLoadIsNoForecast(t *testing.T) {
	f := NewForecast([]string{"a", "b"}, 3)
	play(f, dayAndNight, [2]float64{0, 300}, [2]float64{1, 300}, [2]float64{0, 60})
	for range 5 {
		f.Observe(interval{component: -1, sec: 3, rates: []float64{500, 0}})
	}
	if now, _ := f.Now(); now != -1 {
		t.Errorf("got demand %d after 15 s of a load like none, want −1", now)
	}
	if likely, stays, known := f.Within(30); known || stays != 1 || likely != nil {
		t.Errorf("got %v, %v, %v, want nothing known", likely, stays, known)
	}
}

func TestAForecastSurvivesItsSnapshot(t *testing.T) {
	f := NewForecast([]string{"a", "b"}, 3)
	for range 3 {
		play(f, dayAndNight, [2]float64{0, 300}, [2]float64{1, 300})
	}
	text, err := json.Marshal(f.Clone())
	if err != nil {
		t.Fatal(err)
	}
	var s Forecast
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	if err := s.check([]string{"a", "b"}, 3); err != nil {
		t.Fatal(err)
	}
	g := s.Clone()
	if !reflect.DeepEqual(f.Demands, g.Demands) {
		t.Errorf("got %+v, want %+v", g.Demands, f.Demands)
	}
	for _, v := range [][2]float64{{0, 6}, {1, 240}, {0, 300}} { // a burst within a visit that goes on, and then what follows
		play(f, dayAndNight, v)
		play(g, dayAndNight, v)
		now, sec := g.Now()
		if want, age := f.Now(); now != want || sec != age || !reflect.DeepEqual(f.Demands, g.Demands) {
			t.Fatalf("got demand %d for %v s and %+v, want %d for %v s and %+v as without", now, sec, g.Demands,
				want, age, f.Demands)
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(*Forecast)
	}{
		{"a component of a demand that is not there", func(s *Forecast) { s.Components[0].Demand = 7 }},
		{"transitions to fewer demands than there are", func(s *Forecast) { s.Demands[0].Next = nil }},
		{"a visit of a demand that is not there", func(s *Forecast) { s.Visit.Now = 9 }},
		{"other groups", func(s *Forecast) { s.Groups = []string{"a"} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := f.Clone()
			c.spoil(s)
			if err := s.check([]string{"a", "b"}, 3); err == nil {
				t.Error("got no error")
			}
		})
	}
}

func TestDemandsKeepTheirIdentityWhenRegimesAreFittedAnew(t *testing.T) {
	old := NewForecast([]string{"a", "b"}, 3)
	play(old, dayAndNight, [2]float64{0, 300}, [2]float64{1, 300})
	anew := NewForecast([]string{"a", "b"}, 3)
	third := [][]float64{{100, 20}, {10, 5}, {40, 90}}
	var past []interval
	for component, rates := range third {
		for range 100 {
			past = append(past, interval{component: component, sec: 3, rates: rates})
		}
	}
	anew.replay(past)
	anew.inherit(old)
	ids := map[float64]int{}
	for _, d := range anew.Demands {
		ids[math.Round(d.RatePerSec[0])] = d.ID
	}
	if want := map[float64]int{10: 0, 100: 1, 40: ids[40]}; !reflect.DeepEqual(ids, want) || ids[40] < 2 {
		t.Errorf("got identities %v by rate, want the old ones for 10 and 100, and a new one for 40", ids)
	}
}

func TestRegimesCanBeTurnedOff(t *testing.T) {
	r, err := NewRegimes(RegimeConfig{Observe: -time.Second}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if r.Forecast() != nil {
		t.Errorf("got forecast %v, want none", r.Forecast())
	}
}
