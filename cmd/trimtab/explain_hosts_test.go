package main

import (
	"strings"
	"testing"

	"trimtab/daemon"
	"trimtab/hosts"
)

func TestExplainShowsTheMachines(t *testing.T) {
	for _, c := range []struct {
		name    string
		reading hosts.Reading
		want    string
	}{
		{"what a machine says", hosts.Reading{Server: "a:80", CPU: 0.25, Memory: 0.5, Received: 2e6, Sent: 1e6,
			CPUPressure: 0.01, MemoryPressure: -1, IOPressure: -1},
			"Machine of a:80: processors 25 %, memory 50 %, tasks waited for processors 1 %, network 2.0 MB/s in, " +
				"1.0 MB/s out."},
		{"one that does not answer", hosts.Reading{Server: "b:80", Stale: true, Problem: "connection refused"},
			"Machine of b:80: no metrics that count now (connection refused); nothing waits for them."},
		{"one that was not asked yet", hosts.Reading{Server: "c:80", Stale: true}, "(no page yet)"},
		{"a name with what a terminal obeys", hosts.Reading{Server: "d\x1b[2J", Stale: true}, "Machine of d"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := reportText(daemon.Report{Hosts: []hosts.Reading{c.reading}}, "a test")
			if !strings.Contains(got, c.want) || strings.Contains(got, "\x1b") {
				t.Errorf("got %q, want %q in it", got, c.want)
			}
		})
	}
	if got := reportText(daemon.Report{}, "a test"); strings.Contains(got, "Machine") {
		t.Errorf("without machines: got %q", got)
	}
}
