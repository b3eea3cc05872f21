package loadgen

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"trimtab/loadgen/arrival"
)

func drawn(t *testing.T, r RandomSchedule) *Schedule {
	t.Helper()
	s, err := r.Draw()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func three() []string { return []string{"compose", "home", "user"} }

func TestRandomScheduleStaysWithinItsRanges(t *testing.T) {
	s := drawn(t, RandomSchedule{Workloads: three(), Seed: 3})
	kinds := map[arrival.Kind]int{}
	ends := map[string]time.Duration{}
	for i, b := range s.Bursts {
		start, length := time.Duration(b.Start), time.Duration(b.Duration)
		last := start+length == 5*time.Hour
		if b.Rate < 100 || b.Rate > 2000 || b.Rate != float64(int(b.Rate)) {
			t.Errorf("burst %d: got rate %g, want a whole number from 100 to 2000", i, b.Rate)
		}
		if length > 600*time.Second || length < 30*time.Second && !last || start+length > 5*time.Hour {
			t.Errorf("burst %d: got %s from %s, want 30 s to 600 s within 5 h", i, length, start)
		}
		if end, ok := ends[b.Workload]; ok && (start-end < 10*time.Second || start-end > 100*time.Second) {
			t.Errorf("burst %d: got a pause of %s, want 10 s to 100 s", i, start-end)
		}
		ends[b.Workload] = start + length
		kinds[b.Kind]++
	}
	if len(ends) != 3 || len(kinds) != 4 || len(s.Bursts) < 3*25 {
		t.Errorf("got %d bursts of %d workloads and kinds %v, want three and all four", len(s.Bursts), len(ends), kinds)
	}
	if !slices.IsSortedFunc(s.Bursts, func(a, b ScheduledBurst) int { return int(a.Start/1e6) - int(b.Start/1e6) }) {
		t.Error("got bursts out of order")
	}
}

func TestSeedDecidesTheSchedule(t *testing.T) {
	all := drawn(t, RandomSchedule{Workloads: three(), Seed: 3})
	if again := drawn(t, RandomSchedule{Workloads: three(), Seed: 3}); !reflect.DeepEqual(all, again) {
		t.Error("one seed gave two schedules")
	}
	if other := drawn(t, RandomSchedule{Workloads: three(), Seed: 4}); reflect.DeepEqual(all.Bursts, other.Bursts) {
		t.Error("two seeds gave one schedule")
	}
	home := drawn(t, RandomSchedule{Workloads: []string{"home"}, Seed: 3})
	alone := slices.DeleteFunc(slices.Clone(all.Bursts), func(b ScheduledBurst) bool { return b.Workload != "home" })
	if !reflect.DeepEqual(home.Bursts, alone) {
		t.Error("leaving out other workloads changed this one")
	}
}

// Saved and read again a schedule gives the same arrivals to the nanosecond.
func TestScheduleReplaysToTheSameSequence(t *testing.T) {
	first := drawn(t, RandomSchedule{Workloads: three(), Total: time.Hour, Seed: 9})
	var file bytes.Buffer
	if _, err := first.WriteTo(&file); err != nil {
		t.Fatal(err)
	}
	read, err := ReadSchedule(&file)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(first, read) {
		t.Fatalf("got %+v, want %+v", read, first)
	}
	sequence := func(s *Schedule) (due []time.Duration) {
		workloads, err := s.Workloads()
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range workloads {
			for _, b := range w.Bursts {
				p, err := b.Arrival.Process(b.Rate, b.Seed)
				if err != nil {
					t.Fatal(err)
				}
				for range 200 {
					d, _ := p.Next()
					due = append(due, b.Start+d)
				}
			}
		}
		return due
	}
	if !slices.Equal(sequence(first), sequence(read)) {
		t.Error("got other arrivals from the saved schedule")
	}
}

const handWritten = `
seed = 5
total = "90s"

[[burst]]
workload = "home"
arrival = "norm"
cv = 0.2
rate = 50
start = "10s"
duration = "20s"

[[burst]]
workload = "compose"
arrival = "exp"
steps = [{ at = "0s", rate = 10 }, { at = "30s", rate = 100 }]
start = "0s"
duration = "2m"
seed = 77

[[burst]]
workload = "home"
arrival = "zipf"
alpha = 2.5
ranks = 50
ramp = [{ at = "0s", rate = 0 }, { at = "10s", rate = 300 }]
start = "40s"
duration = "10s"

[[burst]]
workload = "user"
arrival = "exp"
sine = { mean = 100, amplitude = 80, period = "60s" }
start = "0s"
duration = "60s"

[[burst]]
workload = "late"
arrival = "fixed"
rate = 1
start = "2m"
duration = "60s"
`

func TestScheduleFile(t *testing.T) {
	s, err := ReadSchedule(strings.NewReader(handWritten))
	if err != nil {
		t.Fatal(err)
	}
	workloads, err := s.Workloads()
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Names(); !slices.Equal(got, []string{"home", "compose", "user", "late"}) || len(workloads) != 3 {
		t.Fatalf("got workloads %v, %d of them within the total, want four and three", got, len(workloads))
	}
	home, compose, user := workloads[0], workloads[1], workloads[2]
	if home.Bursts[0].Arrival.CV != 0.2 || home.Bursts[1].Arrival.Alpha != 2.5 || home.Bursts[1].Arrival.Ranks != 50 {
		t.Errorf("got %+v, want the parameters of the file", home.Bursts)
	}
	if home.Bursts[0].Seed == 0 || home.Bursts[0].Seed == home.Bursts[1].Seed || compose.Bursts[0].Seed != 77 {
		t.Error("got seeds that are missing, equal or not the file's")
	}
	if compose.Bursts[0].Duration != 90*time.Second || s.End() != 90*time.Second {
		t.Errorf("got an end at %s, want the bursts cut at the total", s.End())
	}
	for _, c := range []struct {
		what string
		got  float64
		want float64
	}{
		{"steps", compose.Bursts[0].Rate.Area(0, 60*time.Second), 30*10 + 30*100},
		{"ramp", home.Bursts[1].Rate.Area(0, 10*time.Second), 1500},
		{"sine", user.Bursts[0].Rate.Area(0, 60*time.Second), 6000},
	} {
		if d := c.got - c.want; d > 1e-6 || d < -1e-6 {
			t.Errorf("%s: got %g requests, want %g", c.what, c.got, c.want)
		}
	}
}

func TestBadSchedulesAreRefused(t *testing.T) {
	burst := "[[burst]]\nworkload = \"a\"\narrival = \"exp\"\nduration = \"10s\"\n"
	for what, text := range map[string]string{
		"nothing":                  "",
		"no TOML":                  "][",
		"an unknown key":           burst + "rate = 1\nspeed = 2\n",
		"no rate":                  burst,
		"a rate of 0":              burst + "rate = 0\n",
		"a negative rate":          burst + "rate = -1\n",
		"two rates":                burst + "rate = 1\nramp = [{ at = \"0s\", rate = 1 }]\n",
		"an empty ramp":            burst + "ramp = []\n",
		"an unknown arrival":       strings.Replace(burst, "exp", "uniform", 1) + "rate = 1\n",
		"no duration":              strings.Replace(burst, "10s", "0s", 1) + "rate = 1\n",
		"a duration without unit":  strings.Replace(burst, "10s", "10", 1) + "rate = 1\n",
		"no workload":              strings.Replace(burst, "\"a\"", "\"\"", 1) + "rate = 1\n",
		"a negative total":         "total = \"-1s\"\n" + burst + "rate = 1\n",
		"a negative start":         burst + "rate = 1\nstart = \"-1s\"\n",
		"a negative seed":          "seed = -1\n" + burst + "rate = 1\n",
		"a burst's negative seed":  burst + "rate = 1\nseed = -1\n",
		"a rate that is no number": burst + "rate = nan\n",
		"an infinite rate":         burst + "rate = inf\n",
	} {
		if s, err := ReadSchedule(strings.NewReader(text)); err == nil {
			t.Errorf("%s: got %+v, want an error", what, s)
		}
	}
}

func TestBadRandomSchedulesAreRefused(t *testing.T) {
	for what, r := range map[string]RandomSchedule{
		"no workload":           {},
		"an unknown arrival":    {Workloads: three(), Arrivals: []arrival.Kind{"uniform"}},
		"a rate from 0":         {Workloads: three(), MaxRate: 10},
		"rates the wrong way":   {Workloads: three(), MinRate: 10, MaxRate: 5},
		"bursts of no length":   {Workloads: three(), MaxBurst: time.Second},
		"bursts the wrong way":  {Workloads: three(), MinBurst: time.Minute, MaxBurst: time.Second},
		"a negative back-off":   {Workloads: three(), MinBackOff: -1, MaxBackOff: time.Second},
		"a negative total":      {Workloads: three(), Total: -1},
		"a million tiny bursts": {Workloads: three(), MinBurst: time.Millisecond, MaxBurst: time.Millisecond},
	} {
		if s, err := r.Draw(); err == nil {
			t.Errorf("%s: got %d bursts, want an error", what, len(s.Bursts))
		}
	}
}

func FuzzReadSchedule(f *testing.F) {
	f.Add(handWritten)
	f.Add("[[burst]]\nworkload = \"a\"\narrival = \"exp\"\nrate = 1e300\nduration = \"10s\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ReadSchedule(strings.NewReader(text))
		if err != nil {
			return
		}
		if _, err := s.Workloads(); err != nil {
			t.Fatalf("a schedule that was read does not build: %v", err)
		}
		var out bytes.Buffer
		if _, err := s.WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		again, err := ReadSchedule(bytes.NewReader(out.Bytes()))
		if err != nil {
			t.Fatalf("read back: %v\n%s", err, out.String())
		}
		if !reflect.DeepEqual(s, again) {
			t.Fatalf("got %+v, want %+v", again, s)
		}
	})
}
