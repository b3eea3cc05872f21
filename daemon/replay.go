package daemon

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"trimtab/control"
	"trimtab/trusted"
)

// A report of an internal fault is a file of one JSON object a line: faultHead, and then what the policy saw, a sight
// each.

// faultFormat is the version of reports that this program writes, and the only one that it reads.
const faultFormat = 1

// Reports are kept beside the state, the newest few of them.
const (
	faultPrefix = "fault-"
	faultSuffix = ".ndjson"
	faultsLeft  = 8
)

// faultHead is the first line of a report: what happened, and with which settings and knowledge.
type faultHead struct {
	Format   int             `json:"format"`
	At       time.Time       `json:"at"`
	Version  string          `json:"version"`
	Part     string          `json:"part"`
	Error    string          `json:"error"`
	Stack    string          `json:"stack,omitempty"`
	Missed   int             `json:"missed,omitempty"` // intervals that are not in the report
	Settings faultSettings   `json:"settings"`
	Known    json.RawMessage `json:"known,omitempty"` // the policy's snapshot before the first line
}

// faultSettings are those of the configuration that a policy is made from: nothing of addresses, files or secrets.
type faultSettings struct {
	Interval Span              `json:"interval"`
	Kind     string            `json:"actuator"`
	Tuner    any               `json:"tuner"`
	Regimes  any               `json:"regimes"`
	Upstream any               `json:"upstream"`
	Methods  map[string]string `json:"methods"`
}

// writeFault writes down an internal fault with what led to it, and returns the file's name; empty: there is none.
func (d *Service) writeFault(in part, err error) string {
	if d.opts.DryRun || in != inPolicy && in != inStep && in != inExplanation && in != inMetrics {
		return ""
	}
	cfg := d.current().cfg
	known, seen, missed := d.witness.story()
	head := faultHead{
		Format: faultFormat, At: time.Now(), Version: d.opts.Version, Part: string(in), Error: err.Error(),
		Missed: missed, Known: known,
		Settings: faultSettings{Interval: cfg.Interval, Kind: cfg.Actuator.Kind, Tuner: cfg.Tuner,
			Regimes: cfg.Regimes, Upstream: cfg.Upstream,
			Methods: relabelMethods(cfg.methods, label)},
	}
	if p := (*control.Panic)(nil); errors.As(err, &p) {
		head.Stack = string(p.Stack)
	}
	first, err := json.Marshal(head)
	if err != nil {
		d.log.Error("an internal fault cannot be written down", "error", err)
		return ""
	}
	var text bytes.Buffer
	for _, line := range append([]json.RawMessage{first}, seen...) {
		text.Write(line)
		text.WriteByte('\n')
	}
	name := faultPrefix + head.At.UTC().Format("20060102T150405.000") + "-" + string(in) + faultSuffix
	path := filepath.Join(cfg.dataDir(), name)
	if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
		err = os.WriteFile(path, text.Bytes(), 0o600)
	}
	if err != nil {
		d.log.Error("an internal fault cannot be written down", "error", err)
		return ""
	}
	dropFaults(filepath.Dir(path))
	return cfg.shown(name)
}

// dropFaults leaves the newest reports.
func dropFaults(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	var names []string // in the order of time, which begins them
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), faultPrefix) && strings.HasSuffix(e.Name(), faultSuffix) {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(b, a) })
	for _, name := range names[min(len(names), faultsLeft):] {
		_ = os.Remove(filepath.Join(dir, name))
	}
}

// shown is where a file of the state is, as people find it.
func (c *Config) shown(name string) string {
	if c.data != "" {
		return filepath.Join(c.StateDir, workerDir, name)
	}
	return filepath.Join(c.dataDir(), name)
}

func relabelMethods(methods map[string]string, change func(string) string) map[string]string {
	out := make(map[string]string, len(methods))
	for name, method := range methods {
		out[change(name)] = method
	}
	return out
}

// Replayed is what came of playing a report of an internal fault again.
type Replayed struct {
	Part, Error string    // what the report is of
	At          time.Time // when it was
	Version     string    // of the program that wrote it
	Intervals   int       // played
	Fault       error     // the internal fault that came again; nil: none did
}

// replaySettings are faultSettings as they are read.
type replaySettings struct {
	Interval Span              `json:"interval"`
	Kind     string            `json:"actuator"`
	Tuner    json.RawMessage   `json:"tuner"`
	Regimes  json.RawMessage   `json:"regimes"`
	Upstream json.RawMessage   `json:"upstream"`
	Methods  map[string]string `json:"methods"`
}

// mostReport bounds what is read of a report, in bytes.
const mostReport = 64 << 20

// Replay plays a report of an internal fault again: what was seen then, with what was known, to a new learner. It needs
// no NGINX and changes nothing. An error says that the file is no report; a fault that comes again is in what is
// returned.
func Replay(path string) (Replayed, error) {
	f, err := trusted.Open(path)
	if err != nil {
		return Replayed{}, fmt.Errorf("replay: %w: want a report of a fault, as the log names it", err)
	}
	defer f.Close()
	return replay(io.LimitReader(f, mostReport), NewPolicy)
}

func replay(r io.Reader, newPolicy func(*Config) (control.Policy, error)) (out Replayed, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, mostReport)
	if !lines.Scan() {
		return out, errors.Join(errors.New("replay: the file is empty"), lines.Err())
	}
	var head struct {
		faultHead
		Settings replaySettings `json:"settings"`
	}
	if err := json.Unmarshal(lines.Bytes(), &head); err != nil {
		return out, fmt.Errorf("replay: line 1 is no head of a report: %w", err)
	}
	if head.Format != faultFormat {
		return out, fmt.Errorf("replay: a report of format %d, this program reads %d", head.Format, faultFormat)
	}
	out = Replayed{Part: head.Part, Error: head.Error, At: head.At, Version: head.Version}
	cfg := Defaults()
	cfg.Interval, cfg.Actuator.Kind, cfg.methods = head.Settings.Interval, head.Settings.Kind,
		relabelMethods(head.Settings.Methods, unlabel)
	for _, part := range []struct {
		text json.RawMessage
		to   any
	}{{head.Settings.Tuner, &cfg.Tuner}, {head.Settings.Regimes, &cfg.Regimes}, {head.Settings.Upstream,
		&cfg.Upstream}} {
		if err := json.Unmarshal(part.text, part.to); err != nil {
			return out, fmt.Errorf("replay: the settings of the report: %w", err)
		}
	}
	cfg.Regimes.Model = "" // not in the report
	if err := cfg.tunerConfig().Validate(); err != nil {
		return out, fmt.Errorf("replay: the settings of the report: %w", err)
	}
	policy, err := newPolicy(cfg)
	if err != nil {
		return out, fmt.Errorf("replay: %w", err)
	}
	if out.Fault = control.Contain(func() { err = restoreTo(policy, head.Known) }); out.Fault != nil {
		return out, nil
	}
	if err != nil {
		return out, fmt.Errorf("replay: what was known: %w", err)
	}
	for line := 2; lines.Scan() && out.Fault == nil; line++ {
		var s sight
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return out, fmt.Errorf("replay: line %d: %w", line, err)
		}
		out.Fault = playSight(policy, s, &out.Intervals)
	}
	if err := lines.Err(); err != nil {
		return out, fmt.Errorf("replay: %w", err)
	}
	return out, nil
}

// playSight has a policy see one line of a report, decide and explain itself.
func playSight(policy control.Policy, s sight, intervals *int) error {
	return control.Contain(func() {
		if s.Committed != nil {
			r := *s.Committed
			r.Want = relabel(r.Want, unlabel)
			policy.Committed(r)
		}
		if s.Sample == nil {
			return
		}
		*intervals++
		sample := labelledSample(s.Sample, unlabel)
		policy.Observe(*sample, control.InForce(*sample))
		_ = policy.Choose()
		if _, err := explanationOf(policy); err != nil {
			panic(fmt.Sprintf("the decision is explained by numbers that are none: %v", err))
		}
	})
}
