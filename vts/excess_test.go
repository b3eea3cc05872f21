package vts

import (
	"bufio"
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// served is a server that answered n requests in ms each, bad of them with 4xx.
func served(n, bad, requestMs, responseMs float64) Tally {
	return Tally{Requests: n, ClientErrors: bad, RequestMsec: requestMs * n, ResponseMsec: responseMs * n}
}

func TestExcessIsTheServersOwn(t *testing.T) {
	t.Parallel()
	good := served(150, 0, 24, 24)
	for _, c := range []struct {
		name             string
		tallies          []Tally
		server           int
		errors, unserved float64 // wanted, within 2
		msec             float64 // wanted UnansweredMsec, within 1 %
	}{
		{"a server that hangs, as the module counts it", []Tally{good, served(150, 150, 2000, 0), good}, 1, 150, 150,
			150 * 1976},
		{"a server that hangs, as the shim counts it", []Tally{good, served(150, 150, 2000, 2000), good}, 1, 150, 150,
			150 * 1976},
		{"half of its answers do not come", []Tally{good, served(150, 75, 1012, 12), good}, 1, 75, 75, 150 * 988},
		{"a server that sheds load in 1 ms", []Tally{good, served(150, 150, 1, 1), good}, 1, 150, 0, 0},
		{"its healthy peers have no excess", []Tally{good, served(150, 150, 1, 1), good}, 2, 0, 0, 0},
		{"client errors that all share are nobody's fault", []Tally{served(150, 60, 24, 24), served(150, 66, 24, 24),
			served(150, 55, 24, 24)}, 1, 0, 0, 0},
		{"what it has above what all share is its own", []Tally{served(1000, 100, 24, 24), served(1000, 400, 24, 24),
			served(1000, 100, 24, 24)}, 1, 300, 0, 0},
		{"a peer that fails everything with 5xx is no witness", []Tally{{Requests: 150, Errors: 150},
			served(150, 45, 24, 24), served(150, 45, 24, 24)}, 1, 0, 0, 0},
		{"a few requests prove nothing", []Tally{served(5, 0, 24, 24), served(1, 1, 2000, 0), served(5, 0, 24, 24)}, 1,
			0, 0, 0},
		{"three of three do, beside hundreds that went well", []Tally{good, served(3, 3, 2000, 0), good}, 1, 3, 3,
			3 * 1976},
		{"two bad ones of five do not hide each other", []Tally{good, served(150, 150, 2000, 0), good,
			served(150, 150, 1, 1), good}, 3, 150, 0, 0},
		{"where all but one fail, that one is the reference", []Tally{served(150, 150, 1, 1), served(150, 150, 1, 1),
			good, served(150, 150, 1, 1)}, 0, 150, 0, 0},
		{"and has no excess itself", []Tally{served(150, 150, 1, 1), served(150, 150, 1, 1), good,
			served(150, 150, 1, 1)}, 2, 0, 0, 0},
		{"a single server has no peers", []Tally{served(150, 150, 2000, 0)}, 0, 0, 0, 0},
		{"peers without requests are no peers", []Tally{{}, served(150, 150, 2000, 0), {}}, 1, 0, 0, 0},
		{"slow clients alone are no errors", []Tally{good, served(150, 0, 900, 24), good}, 1, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := Excesses(c.tallies)[c.server]
			if math.Abs(got.ClientErrors-c.errors) > 2 || math.Abs(got.Unanswered-c.unserved) > 2 {
				t.Errorf("got %.1f client errors, %.1f of them unanswered, want %g and %g", got.ClientErrors,
					got.Unanswered, c.errors, c.unserved)
			}
			if math.Abs(got.UnansweredMsec-c.msec) > 0.01*c.msec {
				t.Errorf("got %.0f ms of unanswered attempts, want %.0f", got.UnansweredMsec, c.msec)
			}
		})
	}
}

func TestExcessWaitIsAboveThePeers(t *testing.T) {
	t.Parallel()
	got := Excesses([]Tally{served(100, 0, 30, 20), served(100, 0, 70, 20), served(100, 0, 30, 20)})
	if got[1].WaitMsec != 4000 || got[0].WaitMsec != 0 {
		t.Errorf("got %g and %g ms, want 4000 and 0: 50 ms of wait per request beside 10", got[1].WaitMsec,
			got[0].WaitMsec)
	}
}

func TestExcessLeavesOutBackupsAndServersThatAreDown(t *testing.T) {
	t.Parallel()
	peer := func(bad uint64) PeerSample {
		return PeerSample{Known: true, Requests: 150, Responses: Responses{1: 150 - bad, 3: bad}, RequestMsec: 3600,
			ResponseMsec: 3600}
	}
	backup, down := peer(0), peer(0)
	backup.Backup, down.Down = true, true
	g := GroupSample{Peers: []PeerSample{backup, peer(150), down}}
	if got := g.ExcessClientErrors(1); got != 0 {
		t.Errorf("got %g client errors in excess of a backup's and a down server's, want 0", got)
	}
	g.Peers = append(g.Peers, peer(0))
	if got := g.ExcessClientErrors(1); got != 150 {
		t.Errorf("got %g client errors in excess of a peer's, want 150", got)
	}
}

// Binomial client errors of one share for all: whatever the share, hardly any server may ever be blamed.
func TestSharedClientErrorsAreHardlyEverBlamed(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(18, 499))
	blamed, looked := 0, 0
	for _, share := range []float64{0.001, 0.01, 0.05, 0.2, 0.5, 0.9, 0.99} {
		for range 2000 {
			tallies := make([]Tally, 2+rng.IntN(6))
			for i := range tallies {
				for range 1 + rng.IntN(60) {
					tallies[i].Requests++
					if rng.Float64() < share {
						tallies[i].ClientErrors++
					}
				}
			}
			for _, e := range Excesses(tallies) {
				looked++
				if e.ClientErrors > 0 {
					blamed++
				}
			}
		}
	}
	if blamed > looked/5000 {
		t.Errorf("%d of %d servers were blamed for client errors that all share, want at most 1 in 5000", blamed,
			looked)
	}
}

func TestExcessIsFiniteAndBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		number := rapid.Float64Range(0, 1e18)
		tallies := make([]Tally, rapid.IntRange(0, 30).Draw(rt, "servers"))
		for i := range tallies {
			tallies[i] = Tally{
				Requests: number.Draw(rt, "n"), ClientErrors: number.Draw(rt, "4xx"), Errors: number.Draw(rt, "5xx"),
				RequestMsec: number.Draw(rt, "request"), ResponseMsec: number.Draw(rt, "response"),
			}
		}
		for i, e := range Excesses(tallies) {
			for _, v := range []float64{e.ClientErrors, e.Unanswered, e.UnansweredMsec, e.WaitMsec} {
				if !(v >= 0) || math.IsInf(v, 0) {
					rt.Fatalf("server %d of %+v: got %+v", i, tallies, e)
				}
			}
			if e.ClientErrors > tallies[i].ClientErrors || e.Unanswered > e.ClientErrors {
				rt.Fatalf("server %d of %+v: got %+v, more than there were", i, tallies, e)
			}
		}
	})
}

func TestFadeForgets(t *testing.T) {
	t.Parallel()
	sum := Tally{}
	for range 1000 {
		sum = sum.Fade(0.5, served(10, 5, 20, 10))
	}
	if want := served(20, 10, 20, 10); math.Abs(sum.Requests-want.Requests) > 1e-9 ||
		math.Abs(sum.ClientErrors-want.ClientErrors) > 1e-9 ||
		math.Abs(sum.RequestMsec-want.RequestMsec) > 1e-9 || math.Abs(sum.ResponseMsec-want.ResponseMsec) > 1e-9 {
		t.Errorf("got %+v, want %+v", sum, want)
	}
}

// The recorded series of servers that only look fast.
func TestServersThatOnlyLookFast(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, file string
		unanswered bool
	}{
		{"clients give up on a server that hangs", "01-aborted-499/series.ndjson", true},
		{"a server answers 429 to everything", "02-fast-4xx/series.ndjson", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file, err := os.Open(filepath.Join("../../shared/cases", c.file))
			if errors.Is(err, fs.ErrNotExist) {
				t.Skip("the shared cases are not here")
			}
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			lines := bufio.NewScanner(file)
			lines.Buffer(nil, 1<<20)
			var series Series
			samples := 0
			for lines.Scan() {
				st := new(Status)
				if err := Decode(lines.Bytes(), time.Time{}, st); err != nil {
					t.Fatal(err)
				}
				s, err := series.Next(st)
				if ReasonOf(err) == ReasonFirst {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				samples++
				g := s.Groups[0]
				for i, e := range g.Excess() {
					bad := g.Peers[i].Server == "127.0.0.1:19002"
					if want := map[bool]float64{true: 150, false: 0}[bad]; e.ClientErrors != want {
						t.Fatalf("server %s: got %g client errors of its own, want %g", g.Peers[i].Server,
							e.ClientErrors, want)
					}
					if want := bad && c.unanswered; (e.Unanswered == 150) != want || (e.UnansweredMsec > 0) != want {
						t.Fatalf("server %s: got %g unanswered, %g ms", g.Peers[i].Server, e.Unanswered,
							e.UnansweredMsec)
					}
				}
			}
			if samples != 38 {
				t.Errorf("got %d samples, want 38", samples)
			}
		})
	}
}
