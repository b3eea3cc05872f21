package vts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shared returns a file of the shared cases, pages that were seen in the field.
func shared(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../shared/cases", name))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the shared cases are not here")
	}
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestPagesFromTheField(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, file string
		reason     Reason
		says       []string
		check      func(Status) bool
	}{
		{"a module that does not say what is free", "03-zone-without-freeSize/page.json", "", nil, func(s Status) bool {
			return s.Zone.FreeUnknown && s.Zone.UsedBytes == 3516 && s.Zone.MaxBytes == 20971520
		}},
		{"a server that was removed is none", "04-gone-server/page.json", "", nil, func(s Status) bool {
			return len(s.Upstreams[0].Peers) == 2 && s.Upstreams[0].Peers[1].Server == "127.0.0.1:19002"
		}},
		{"a module without sums of ms", "07-module-without-ms-counters/page.json", ReasonMissing, []string{
			`"10.0.0.1:80"`, `"web"`, "requestMsecCounter, responseMsecCounter", "0.1.16",
		}, nil},
		{"a control byte in a key that nobody reads", "08-control-byte-in-skipped-key/page.json", "", nil,
			func(s Status) bool {
				return s.Upstreams[0].Peers[0].Requests == 5
			}},
		{"the page of another module", "09-page-without-upstreams/page.json", ReasonNoUpstream,
			[]string{"nginx-module-sts"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var st Status
			err := Decode(shared(t, c.file), time.Time{}, &st)
			if err == nil {
				err = st.Shows()
			}
			if ReasonOf(err) != c.reason {
				t.Fatalf("got %v (%s), want reason %q", err, ReasonOf(err), c.reason)
			}
			for _, word := range c.says {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("got %q, want it to say %q", err, word)
				}
			}
			if c.check != nil && !c.check(st) {
				t.Errorf("got %+v", st)
			}
		})
	}
}

// row is a server as a page shows it.
func row(server string, weight, requests int) string {
	return fmt.Sprintf(`{"server":%q,"requestCounter":%d,"inBytes":1,"outBytes":1,"responses":{"1xx":0,"2xx":%[2]d,"3xx":0,"4xx":0,"5xx":0},`+
		`"requestMsecCounter":1,"responseMsecCounter":1,"weight":%d,"maxFails":0,"failTimeout":0,"backup":false,"down":false}`, server, requests, weight)
}

// pageOf is a page with these groups, each given as name and rows.
func pageOf(now int, groups ...string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `{"loadMsec":1,"nowMsec":%d,"connections":{},"upstreamZones":{`, 1700000000000+now)
	for i := 0; i < len(groups); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(groups[i])
		fmt.Fprintf(&b, "%s:[%s]", name, groups[i+1])
	}
	b.WriteString("}}")
	return []byte(b.String())
}

func rows(from, to, weight int) string {
	all := make([]string, 0, to-from)
	for i := from; i < to; i++ {
		all = append(all, row(fmt.Sprintf("192.0.%d.%d:%d", i/250%250, i%250, 1000+i/62500), weight, i))
	}
	return strings.Join(all, ",")
}

func TestRowsThatAreNoServers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		page []byte
		want string // servers of all groups
	}{
		{"targets outside of groups", pageOf(1, "::nogroups", rows(0, 1000, 0), "web", row("10.0.0.1:80", 1, 1)),
			"web=10.0.0.1:80"},
		{"a server chosen by another balancer", pageOf(1, "web", row("10.0.0.1:80", 1, 1)+","+row("10.9.9.9:80", 0, 7)),
			"web=10.0.0.1:80"},
		{"a removed server first in the list", pageOf(1, "web", row("10.9.9.9:80", 0, 7)+","+row("10.0.0.1:80", 1, 1)),
			"web=10.0.0.1:80"},
		{"the group's stand-in stays", pageOf(1, "web", row("10.0.0.1:80", 1, 1)+","+row("web", 0, 7)),
			"web=10.0.0.1:80 web"},
		{"a server with a name of a megabyte",
			pageOf(1, "web", row(strings.Repeat("x", 1<<20), 1, 1)+","+row("10.0.0.1:80", 1, 1)), "web=10.0.0.1:80"},
		{"a group with a name of a megabyte", pageOf(1, strings.Repeat("x", 1<<20), row("10.0.0.2:80", 1, 1), "web",
			row("10.0.0.1:80", 1, 1)), "web=10.0.0.1:80"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			st := new(Status)
			for range 2 { // also into used memory
				if err := Decode(c.page, time.Time{}, st); err != nil {
					t.Fatal(err)
				}
				got := ""
				for _, u := range st.Upstreams {
					got += u.Name + "="
					for i, p := range u.Peers {
						if i > 0 {
							got += " "
						}
						got += p.Server
					}
				}
				if got != c.want {
					t.Errorf("got %.200s, want %s", got, c.want)
				}
			}
		})
	}
}

// A page ten times as large takes about ten times as long, not a hundred times: measured as the least of several runs,
// in time of the processor.
func TestLargeGroupsTakeLinearTime(t *testing.T) {
	const small, large = 3000, 30000
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	spent := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	fastest := func(n int) time.Duration {
		first := pageOf(0, "web", rows(0, n, 1))
		// The next page is of a configuration whose first server is gone, so that none stands where it did.
		second := pageOf(1000, "web", rows(1, n, 1))
		best := time.Hour
		for range 5 {
			a, b := new(Status), new(Status)
			began := spent()
			if err := Decode(first, time.Time{}, a); err != nil {
				t.Fatal(err)
			}
			if err := Decode(second, time.Time{}, b); err != nil {
				t.Fatal(err)
			}
			s, err := Delta(a, b)
			best = min(best, spent()-began)
			if err != nil || len(s.Groups[0].Peers) != n-1 {
				t.Fatalf("got %d servers, %v, want %d", len(s.Groups[0].Peers), err, n-1)
			}
		}
		return best
	}
	a, b := fastest(small), fastest(large)
	if ratio := float64(b) / float64(a); ratio > 40 {
		t.Errorf("%d servers take %v, %d take %v: %.0f times as long, want about 10", small, a, large, b, ratio)
	}
}

func TestDecodingEndsWithThePoll(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name string
		page []byte
	}{
		{"many servers", pageOf(1, "web", rows(0, 5000, 1))},
		{"many rows that are passed over", pageOf(1, "::nogroups", rows(0, 5000, 0), "web", row("10.0.0.1:80", 1, 1))},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := DecodeContext(ctx, c.page, time.Time{}, new(Status))
			if ReasonOf(err) != ReasonTimeout || !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want reason timeout and why", err)
			}
		})
	}
}

func TestPausesOfARecordingAreLeftOut(t *testing.T) {
	t.Parallel()
	sec := time.Second
	for _, c := range []struct {
		name  string
		steps []time.Duration // between statuses
		kept  []time.Duration
	}{
		{"a steady recording", []time.Duration{sec, sec, sec}, []time.Duration{sec, sec, sec}},
		{"an hour in which nobody looked", []time.Duration{sec, sec, time.Hour, sec}, []time.Duration{sec, sec, sec}},
		{"two pauses in a row", []time.Duration{sec, time.Hour, time.Hour, sec}, []time.Duration{sec, sec}},
		{"polls that took longer are none", []time.Duration{sec, 4 * sec, sec}, []time.Duration{sec, 4 * sec, sec}},
		{"a slow recorder's own step is none", []time.Duration{60 * sec, 60 * sec, 200 * sec},
			[]time.Duration{60 * sec, 60 * sec, 200 * sec}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := AppendRecord(nil, statusAt(0))
			at := time.Duration(0)
			for _, d := range c.steps {
				at += d
				text = append(text, AppendRecord(nil, statusAt(at))...)
			}
			path := filepath.Join(t.TempDir(), "s.ndjson")
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			var got []time.Duration
			rejected, err := Samples([]string{path}, false, func(s Sample) error {
				got = append(got, s.Interval)
				return nil
			})
			if err != nil || fmt.Sprint(got) != fmt.Sprint(c.kept) || rejected[ReasonGap] != len(c.steps)-len(c.kept) {
				t.Errorf("got %v, %d gaps, %v, want %v", got, rejected[ReasonGap], err, c.kept)
			}
		})
	}
}

// statusAt is a status some time after a start.
func statusAt(d time.Duration) *Status {
	at := time.UnixMilli(1700000000000).Add(d).UTC()
	return &Status{At: at, NowMsec: at.UnixMilli(), LoadMsec: 1, Upstreams: []Upstream{{Name: "web", Peers: []Peer{{
		Server: "10.0.0.1:80", Weight: 1, Requests: uint64(d.Milliseconds()),
		Responses: Responses{1: uint64(d.Milliseconds())},
	}}}}}
}
