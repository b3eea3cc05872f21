package testbed

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"time"

	"trimtab/arena"
	"trimtab/control"
	"trimtab/nginx/instance"
	"trimtab/nginx/live"
	"trimtab/nginx/lua"
	"trimtab/vts"
)

const tokenName = "token"

// prepareLive works out the control call: the file that the http block includes in place of the shim's, and all files.
func (t *Testbed) prepareLive(shim lua.Status) (include string, files map[string]string, err error) {
	ports, err := instance.FreePorts(1)
	if err != nil {
		return "", nil, err
	}
	l := lua.Live{Dir: shim.Dir, Listen: "127.0.0.1:" + strconv.Itoa(ports[0]), TokenFile: filepath.Join(shim.Dir,
		tokenName),
		Servers: len(t.Scenario.Servers) * len(t.Scenario.Upstreams), Status: &shim}
	t.admitting = map[string]string{}
	for i := range t.Scenario.Upstreams {
		if u := &t.Scenario.Upstreams[i]; u.Objective.MaxBlocked > 0 {
			l.Admission = append(l.Admission, u.Name)
			t.admitting[u.Name] = l.AdmissionSnippet(u.Name)
		}
	}
	if files, err = l.Files(); err != nil {
		return "", nil, err
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return "", nil, fmt.Errorf("make token: %w", err)
	}
	files[l.TokenFile] = hex.EncodeToString(secret) + "\n"
	if t.Live, err = live.New(live.Config{Address: l.Listen, TokenFile: l.TokenFile}); err != nil {
		return "", nil, err
	}
	return l.HTTPSnippet(), files, nil
}

var _ arena.Leveller = (*World)(nil)

// SetLevels implements arena.Leveller.
func (w *World) SetLevels(ctx context.Context, l control.Levels) error {
	if len(l.Blocked) > 0 {
		if w.bed.Live == nil {
			return errors.New("admission wants the control call: play with --actuator live")
		}
		maps.Copy(w.blocked, l.Blocked)
		if err := w.admit(ctx); err != nil {
			return err
		}
	}
	for name, n := range l.Capacity {
		s := w.bed.Backends.Server(name)
		if s == nil {
			return fmt.Errorf("set slots: no server %q", name)
		}
		if err := s.SetSlots(n); err != nil {
			return err
		}
	}
	return nil
}

// admit sets the shares for a few intervals.
func (w *World) admit(ctx context.Context) error {
	return live.Admission{Actuator: w.bed.Live, Hold: 4 * w.bed.Scenario.ControlInterval.Std()}.Admit(ctx, w.blocked)
}

// admission puts into a sample what admission refused since the one before, and has the shares go on. It says nothing
// where the control call does not answer: what it refuses then runs out by itself.
func (w *World) admission(ctx context.Context, s *vts.Sample) {
	if w.bed.Live == nil || len(w.bed.admitting) == 0 {
		return
	}
	state, err := (live.Admission{Actuator: w.bed.Live}).State(ctx)
	if err == nil && len(w.blocked) > 0 {
		err = w.admit(ctx)
	}
	if err != nil {
		w.cfg.Logger.Warn("admission does not answer", "error", err)
		return
	}
	w.refused.Read(time.Now(), state)
	for i := range s.Groups {
		g := &s.Groups[i]
		g.Refused = w.refused.Between(g.Name, s.At.Add(-s.Interval), s.At)
	}
}
