package arrival_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trimtab/loadgen/arrival"
)

func TestDrawnLoads(t *testing.T) {
	values := []float64{5, 10, 15, 20}
	points, err := arrival.Drawn(values, time.Minute, 400*time.Minute, 7)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[float64]int{}
	for i, p := range points {
		if p.At != time.Duration(i)*time.Minute {
			t.Fatalf("step %d begins at %s", i, p.At)
		}
		seen[p.Rate]++
	}
	for _, v := range values { // 100 expected of each, sd 8.7
		if n := seen[v]; n < 70 || n > 130 {
			t.Errorf("%v/s was drawn %d times of %d, want about a quarter", v, n, len(points))
		}
	}
	again, _ := arrival.Drawn(values, time.Minute, 400*time.Minute, 7)
	for i := range points {
		if points[i] != again[i] {
			t.Fatal("the same seed draws another load")
		}
	}
	for _, c := range []struct {
		name   string
		values []float64
		every  time.Duration
	}{{"no value", nil, time.Minute}, {"no step", values, 0}, {"a negative rate", []float64{-1}, time.Minute}} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := arrival.Drawn(c.values, c.every, time.Hour, 1); err == nil {
				t.Error("got no error")
			}
		})
	}
}

func TestSampledLoads(t *testing.T) {
	rate, err := arrival.NewSine(12.5, 7.5, 20*time.Minute, 0)
	if err != nil {
		t.Fatal(err)
	}
	points := arrival.Sampled(rate, time.Minute, 20*time.Minute)
	low, high, sum := math.Inf(1), 0.0, 0.0
	for _, p := range points {
		low, high, sum = math.Min(low, p.Rate), math.Max(high, p.Rate), sum+p.Rate
	}
	if len(points) != 20 || low < 5 || low > 5.2 || high > 20 || high < 19.8 || math.Abs(sum/20-12.5) > 1e-9 {
		t.Errorf("%d steps from %v to %v with a mean of %v, want 20 from 5 to 20 around 12.5", len(points), low, high,
			sum/20)
	}
}

func TestTraces(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       int    // points
		fault      string // in the error
	}{
		{"blanks, commas, comments", "# day one\n0 5\n\n60, 12.5\n120;7\n", 3, ""},
		{"nothing", "# nothing\n", 0, "no line"},
		{"three columns", "0 1 2\n", 0, "1: "},
		{"no number", "0 fast\n", 0, "1: "},
		{"offsets that fall", "60 5\n0 5\n", 0, "must rise"},
		{"a negative rate", "0 -5\n", 0, "rate"},
		{"a negative offset", "-1 5\n", 0, "offset"},
		{"an infinite rate", "0 inf\n", 0, "rate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "trace")
			if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
				t.Fatal(err)
			}
			points, err := arrival.ReadTrace(path)
			if c.fault == "" && (err != nil || len(points) != c.want) {
				t.Errorf("got %v and %v, want %d points", points, err, c.want)
			}
			if c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault) || !strings.Contains(err.Error(),
				path)) {
				t.Errorf("got %v, want the file and %q", err, c.fault)
			}
		})
	}
	if _, err := arrival.ReadTrace(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a file that is not there: got no error")
	}
}

func FuzzParseTrace(f *testing.F) {
	f.Add("0 5\n60 10\n")
	f.Add("1e300 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		points, err := arrival.ParseTrace(strings.NewReader(text))
		if err != nil {
			return
		}
		if _, err := arrival.Steps(points...); err != nil {
			t.Fatalf("a trace that was read is no load: %v", err)
		}
	})
}
