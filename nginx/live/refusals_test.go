package live_test

import (
	"testing"
	"time"

	"trimtab/nginx/live"
)

func TestRefusalsOfASpan(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	type read struct {
		at      float64
		refused uint64
	}
	steady := []read{{0, 100}, {3, 400}, {6, 1000}}
	for _, c := range []struct {
		name     string
		reads    []read
		from, to float64
		want     uint64
	}{
		{"a span between two readings has what was counted between them", steady, 3, 6, 600},
		{"a page that is half a second older has half a second of the slower rate before", steady, 2.5, 5.5, 550},
		{"a span within two readings has its part", steady, 4, 5, 200},
		{"nothing is known of what was refused before the first reading", steady, -3, 3, 300},
		{"nor after the last", steady, 5, 8, 200},
		{"one reading says nothing of a span", steady[:1], -3, 3, 0},
		{"nothing was read yet", nil, 0, 3, 0},
		{"after a restart only what was read since counts", []read{{0, 900}, {3, 1000}, {6, 5}, {9, 65}}, 3, 9, 60},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var r live.Refusals
			for _, v := range c.reads {
				r.Read(at(v.at), map[string]live.AdmissionState{"shop": {Refused: v.refused}})
			}
			if got := r.Between("shop", at(c.from), at(c.to)); got != c.want {
				t.Errorf("got %d refused, want %d", got, c.want)
			}
			if got := r.Between("other", at(c.from), at(c.to)); got != 0 {
				t.Errorf("another upstream: got %d refused, want 0", got)
			}
		})
	}
}

func TestRefusalsAddUp(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	var r live.Refusals
	sum, counted := uint64(0), uint64(0)
	from := start
	for i := range 50 {
		counted += uint64(i * 7 % 23)
		now := start.Add(time.Duration(i) * 3 * time.Second)
		r.Read(now, map[string]live.AdmissionState{"shop": {Refused: counted}})
		to := now.Add(-time.Duration(i%4) * 170 * time.Millisecond)
		sum += r.Between("shop", from, to)
		from = to
	}
	if missing := counted - sum; missing > 23 {
		t.Errorf("spans that follow each other have %d of %d refused, want all but those after the last page", sum,
			counted)
	}
}
