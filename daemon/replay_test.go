package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"trimtab/control"
	"trimtab/vts"
	"trimtab/weights"
)

// explosive is a learner that panics when it has seen so many intervals with so many requests.
type explosive struct {
	whole
	left int
}

func (e *explosive) Observe(s vts.Sample, w weights.Set) {
	for _, g := range s.Groups {
		if g.Requests() > 0 {
			e.left--
		}
	}
	if e.left == 0 {
		panic("played: too much was seen")
	}
	e.whole.Observe(s, w)
}

func newExplosive(left int) func(*Config) (control.Policy, error) {
	return func(c *Config) (control.Policy, error) {
		p, err := NewPolicy(c)
		return &explosive{whole: p.(whole), left: left}, err
	}
}

// An internal fault leaves a report from which it comes again, with the program that had it, and does not with another.
func TestInternalFaultsArePlayedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, log, _ := testService(t, func(c *Config) {
			c.Status.User, c.Status.URL = "me",
				"http://me:s3cret@127.0.0.1:1/?token=s3cret"
		})
		d.opts.NewPolicy, d.opts.Version = newExplosive(20), "1.2.3"
		d.install(d.session, false)
		d.steps(t, 70*time.Second, func(time.Duration, control.Outcome, error) {})
		files, _ := filepath.Glob(filepath.Join(d.session.cfg.dataDir(), "fault-*-policy.ndjson"))
		if len(files) != 1 || !strings.Contains(log.String(), files[0]) {
			t.Fatalf("got reports %v, want one that the log names: %s", files, log)
		}
		text, err := os.ReadFile(files[0])
		if err != nil || strings.Contains(string(text), "s3cret") {
			t.Fatalf("got %v, and a secret in the report: %s", err, text)
		}
		if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode: got %v, %v", info.Mode(), err)
		}
		r, err := replay(bytes.NewReader(text), newExplosive(20))
		panicked := (*control.Panic)(nil)
		if err != nil || !errors.As(r.Fault, &panicked) || panicked.Value != "played: too much was seen" ||
			r.Intervals != 20 {
			t.Errorf("got %+v, %v, want the fault again after 20 intervals", r, err)
		}
		r, err = Replay(files[0])
		if err != nil || r.Fault != nil || r.Intervals != 20 || r.Part != "policy" || r.Version != "1.2.3" ||
			!strings.Contains(r.Error, "too much was seen") {
			t.Errorf("with a learner that has not the fault: got %+v, %v", r, err)
		}
	})
}

// What was seen is kept for a while, not for ever, and what was known before goes with it.
func TestWitnessForgets(t *testing.T) {
	p, err := NewPolicy(Defaults())
	if err != nil {
		t.Fatal(err)
	}
	var w witness
	w.watch(p)
	seen := witnessed{p, &w}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 3*spanIntervals + 1 {
		s := vts.Sample{At: at.Add(time.Duration(i) * time.Second), Interval: time.Second,
			Groups: []vts.GroupSample{{Name: "w\xff", Peers: []vts.PeerSample{
				{Server: "a", Weight: 1, Known: true, Requests: 10, Responses: vts.Responses{0, 10}, ResponseMsec: 100,
					RequestMsec: 100},
				{Server: "b", Weight: 1, Known: true, Requests: 10, Responses: vts.Responses{0, 10}, ResponseMsec: 200,
					RequestMsec: 200}}}}}
		seen.Observe(s, control.InForce(s))
	}
	known, kept, missed := w.story()
	if len(known) == 0 || len(kept) != spanIntervals+1 || missed != 0 || !bytes.Contains(kept[0], []byte(`w\\xff`)) {
		t.Errorf("got %d bytes known, %d intervals kept, %d missed: %.200s, want the last %d", len(known), len(kept),
			missed, kept[0], spanIntervals+1)
	}
	w.watch(&explosive{whole: p.(whole)})
	if _, kept, _ := w.story(); len(kept) != 0 {
		t.Errorf("of another learner %d intervals are kept, want none", len(kept))
	}
}

func TestReportsThatAreNone(t *testing.T) {
	head := `{"format":1,"settings":{"interval":"3s","actuator":"reload","tuner":{"Learner":"tuned"},"regimes":{},"upstream":[]}}` + "\n"
	for _, c := range []struct{ name, text, says string }{
		{"nothing", "", "the file is empty"},
		{"another file", "http {\n", "line 1 is no head of a report"},
		{"a later format", `{"format":2}` + "\n", "this program reads 1"},
		{"a head without settings", `{"format":1}` + "\n", "the settings of the report"},
		{"a line that is cut off", head + `{"sample":{`, "line 2"},
		{"what is known is another version's", strings.Replace(head, `{"format":1,`,
			`{"format":1,"known":{"version":99},`, 1), "what was known"},
		{"nothing was seen", head, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := replay(strings.NewReader(c.text), NewPolicy)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

func TestReportsAreBounded(t *testing.T) {
	dir := t.TempDir()
	for i := range faultsLeft + 3 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("fault-2026010%dT000000.000-policy.ndjson",
			i%10)+strings.Repeat("x", i/10)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "tuner.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dropFaults(dir)
	left, _ := filepath.Glob(filepath.Join(dir, "fault-*.ndjson"))
	if len(left) != faultsLeft || strings.Contains(left[0], "20260100") {
		t.Errorf("got %v, want the newest %d", left, faultsLeft)
	}
	if _, err := os.Stat(filepath.Join(dir, "tuner.db")); err != nil {
		t.Error(err)
	}
}
