package daemon

import (
	"bytes"
	"log/slog"
	"regexp"
	"testing"
)

// Every line has the priority of its level, whatever logger it came from.
func TestLinesForTheJournalHavePriorities(t *testing.T) {
	for _, c := range []struct{ format, want string }{
		// the journal has the time
		{"text", "^<6>level=INFO msg=one at=noon\n<4>level=WARN msg=two part=x\n<3>level=ERROR msg=three g.n=3\n$"},
		{"json", `^<6>{"time":"[^"]+","level":"INFO","msg":"one","at":"noon"}\n<4>{"time":"[^"]+","level":"WARN","msg":"two","part":"x"}\n<3>{"time":"[^"]+","level":"ERROR","msg":"three","g":{"n":3}}\n$`},
	} {
		var out bytes.Buffer
		log := slog.New(newJournalHandler(&out, c.format, slog.LevelInfo))
		log.Debug("not asked for")
		log.Info("one", "at", "noon")
		log.With("part", "x").Warn("two")
		log.WithGroup("g").Error("three", "n", 3)
		if !regexp.MustCompile(c.want).MatchString(out.String()) {
			t.Errorf("%s: got %q, want %s", c.format, out.String(), c.want)
		}
	}
}
