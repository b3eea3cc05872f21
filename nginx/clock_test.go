package nginx

import (
	"context"
	"testing"
	"time"
)

// The clock on the wall may be set while the daemon runs; NGINX's loadMsec follows it.
func TestConfirmationWhenTheClockWasSet(t *testing.T) {
	wall := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		// when the old and the shown configuration were loaded, from the signal on by the clock of then
		before, load time.Duration
		want         bool
	}{
		{"a later configuration", -time.Minute, 50 * time.Millisecond, true},
		{"still the old one", -time.Minute, -time.Minute, false},
		{"an older one", -time.Minute, -2 * time.Minute, false},
		{"set back by an hour before the signal: the old one seems to be of the future", time.Hour,
			50 * time.Millisecond, true},
		{"set back by an hour before the signal, still the old one", time.Hour, time.Hour, false},
		{"set ahead by an hour after the signal", -time.Minute, time.Hour, true},
	} {
		sent := wall
		conf := confirmation{
			status: func(context.Context) (Status, error) {
				return Status{LoadMsec: wall.Add(c.load).UnixMilli()}, nil
			},
			before: wall.Add(c.before).UnixMilli(), sent: sent, now: func() time.Time {
				return sent.Add(100 * time.Millisecond)
			},
		}
		if err := conf.ready(t.Context()); (err == nil) != c.want {
			t.Errorf("%s: got %v, want confirmed %t", c.name, err, c.want)
		}
	}
}

func TestBreakerWhenTheClockWasSetBack(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name  string
		until time.Duration
		want  bool
	}{
		{"a pause that runs", time.Minute, true},
		{"the longest pause", breakerLongest, true},
		{"a pause that is over", -time.Second, false},
		{"a pause until next year: begun before the clock was set back", 365 * 24 * time.Hour, false},
	} {
		if got := (Breaker{Until: now.Add(c.until)}).Open(now); got != c.want {
			t.Errorf("%s: got %t, want %t", c.name, got, c.want)
		}
	}
}
