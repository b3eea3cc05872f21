package sim

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// trace replays what a real NGINX did, with a balancer of the simulator beside it.
type trace struct {
	g        *group
	header   bool        // the directive says header, not last_byte
	peer     map[int]int // of the attempt in hand, by request
	tried    map[int][]bool
	measured map[int]bool // the header has been seen
	picks    int
}

// newTrace reads the three lines that a trace begins with: the directive, the weights, what all servers have.
func newTrace(t *testing.T, lines *bufio.Scanner) *trace {
	t.Helper()
	field := func(name string) []string {
		if !lines.Scan() {
			t.Fatalf("read trace: want a line %q", name)
		}
		f := strings.Fields(lines.Text())
		if len(f) == 0 || f[0] != name {
			t.Fatalf("read trace: got %q, want %s", lines.Text(), name)
		}
		return f[1:]
	}
	directive := field("method")
	weights := []int{}
	for _, w := range field("weights") {
		weights = append(weights, number(t, w))
	}
	method := LeastTimeNoInflight
	if len(directive) > 1 {
		method = LeastTime
	}
	maxFails, failTimeout := 1, 10
	for _, p := range field("params") {
		name, value, _ := strings.Cut(p, "=")
		switch name {
		case "max_fails":
			maxFails = number(t, value)
		case "fail_timeout":
			failTimeout = number(t, strings.TrimSuffix(value, "s"))
		default:
			t.Fatalf("read trace: unknown parameter %q", p)
		}
	}
	g := balancer(t, method, maxFails, weights...)
	g.failTimeout = int64(failTimeout)
	return &trace{g: g, header: directive[0] == "header",
		peer: map[int]int{}, tried: map[int][]bool{}, measured: map[int]bool{}}
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("read trace: %v", err)
	}
	return n
}

// pick makes the simulator's pick, which has to be NGINX's.
func (tr *trace) pick(t *testing.T, ms, request, want int) {
	t.Helper()
	if tr.tried[request] == nil {
		tr.tried[request] = make([]bool, len(tr.g.peers))
	}
	copy(tr.g.tried, tr.tried[request])
	got := tr.g.pick(int64(ms) * 1e6)
	clear(tr.g.tried)
	tr.picks++
	if got != want {
		t.Fatalf("pick %d, at %d ms: got %d, NGINX has %d", tr.picks, ms, got, want)
	}
	tr.g.peers[got].conns++
	tr.peer[request] = got
	tr.tried[request][got] = true
}

// ended is an attempt's end: ok, gone (its client left) or failed, with header and response time in ms, -1: unknown.
func (tr *trace) ended(ms, request int, how string, header, response int) {
	p, now := tr.peer[request], uint64(ms)
	took := response
	if tr.header {
		took = header
	}
	switch {
	case tr.measured[request]: // at its header
	case how == "failed":
		tr.g.leastTimeDone(p, now, 0, failed)
	case header < 0:
		tr.g.leastTimeDone(p, now, uint64(response), abandoned)
	default:
		tr.g.leastTimeDone(p, now, uint64(took), answered)
	}
	tr.g.done(p, tr.g.epoch, how == "failed", int64(ms)*1e6)
}

// TestLeastTimeIsNGINXs replays traces of NGINX 1.31.5 with one worker: a line for every pick, header and end of an
// attempt, with its cached clock. They were recorded from a build that logs these; the times are in ms, and their whole
// seconds are NGINX's. The simulator has to make every pick that NGINX made.
func TestLeastTimeIsNGINXs(t *testing.T) {
	files, err := filepath.Glob("testdata/leasttime/*.trace")
	if err != nil || len(files) == 0 {
		t.Fatalf("find traces: %d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".trace"), func(t *testing.T) {
			t.Parallel()
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			lines := bufio.NewScanner(f)
			tr := newTrace(t, lines)
			for lines.Scan() {
				words := strings.Fields(lines.Text())
				ms, request := number(t, words[1]), number(t, words[2])
				switch words[0] {
				case "pick":
					tr.pick(t, ms, request, number(t, words[3]))
				case "header": // only noted where it is measured at once
					tr.g.leastTimeDone(tr.peer[request], uint64(ms), uint64(number(t, words[3])), answered)
					tr.measured[request] = true
				case "end":
					tr.ended(ms, request, words[3], number(t, words[4]), number(t, words[5]))
				default:
					t.Fatalf("read trace: %q", lines.Text())
				}
			}
			if err := lines.Err(); err != nil {
				t.Fatal(err)
			}
			if tr.picks < 500 {
				t.Errorf("picks in the trace: got %d, want 500 or more", tr.picks)
			}
		})
	}
}
