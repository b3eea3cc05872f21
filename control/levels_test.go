package control_test

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/vts"
	"trimtab/weights"
)

// hands note what the loop has them do, in order.
type hands struct {
	did                         []string
	sample, scale, admit, apply error
}

func (h *hands) Sample(context.Context) (vts.Sample, error) { return vts.Sample{}, h.sample }

func (h *hands) Apply(context.Context, weights.Set) (control.Receipt, error) {
	h.did = append(h.did, "weights")
	return control.Receipt{Changed: true}, h.apply
}

func (h *hands) InForce(context.Context) (weights.Set, error) { return nil, nil }

func (h *hands) Admit(context.Context, map[string]float64) error {
	h.did = append(h.did, "admit")
	return h.admit
}

func (h *hands) Release(context.Context) error {
	h.did = append(h.did, "release")
	return nil
}

func (h *hands) Scale(context.Context, map[string]int) error {
	h.did = append(h.did, "scale")
	return h.scale
}

// wish is a policy that always wants the same.
type wish struct {
	control.Fixed
	committed []control.Receipt
}

func (*wish) Observe(vts.Sample, weights.Set) {}

func (w *wish) Committed(r control.Receipt) { w.committed = append(w.committed, r) }

func TestSeveralControlsActInOneDecision(t *testing.T) {
	blocked, capacity := map[string]float64{"u": 0.2}, map[string]int{"a": 3}
	set := weights.Set{"u": {"a": weights.Setting{Weight: weights.Clamp(2)}}}
	all := control.Decision{Weights: set, Levels: control.Levels{Blocked: blocked, Capacity: capacity}}
	shut := control.Levels{Blocked: blocked}
	broken := errors.New("it broke")
	for _, c := range []struct {
		name      string
		decision  control.Decision
		hands     hands
		did       []string
		committed control.Levels
		fault     error
	}{
		{"capacity first, then who is let in, then weights", all, hands{}, []string{"scale", "admit", "weights"},
			all.Levels, nil},
		{"admission alone leaves weights alone", control.Decision{Levels: shut}, hands{}, []string{"admit"}, shut, nil},
		{"a hook that fails is not committed, the rest is", all, hands{scale: broken},
			[]string{"scale", "admit", "weights"}, shut, broken},
		{"nothing is wanted, and nothing done", control.Decision{}, hands{}, nil, control.Levels{}, nil},
		{"without telemetry everybody is let in", control.Decision{Levels: shut}, hands{sample: broken},
			[]string{"release"}, control.Levels{}, control.ErrTelemetry},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, p := c.hands, &wish{Fixed: control.Fixed{Decision: c.decision}}
			_, err := control.NewLoop(&h, p, &h, control.WithAdmission(&h), control.WithScaling(&h)).Step(t.Context())
			if !errors.Is(err, c.fault) || c.fault == nil && err != nil {
				t.Errorf("got %v, want %v", err, c.fault)
			}
			if !slices.Equal(h.did, c.did) {
				t.Errorf("got %v, want %v", h.did, c.did)
			}
			var got control.Levels
			if len(p.committed) > 0 {
				got = p.committed[0].Levels
			}
			if !reflect.DeepEqual(got, c.committed) {
				t.Errorf("committed %+v, want %+v", got, c.committed)
			}
		})
	}
}

func TestLevelsWithoutHandsAreHeld(t *testing.T) {
	h := &hands{}
	p := &wish{Fixed: control.Fixed{Decision: control.Decision{Levels: control.Levels{Blocked: map[string]float64{"u": 0.2}}}}}
	out, err := control.NewLoop(h, p, h).Step(t.Context())
	if err != nil || out.Applied || out.Held == "" || len(p.committed) > 0 {
		t.Errorf("got %v, applied %t, held %q: want it held with a reason", err, out.Applied, out.Held)
	}
}

func TestADryRunTouchesNoControl(t *testing.T) {
	h := &hands{}
	p := &wish{Fixed: control.Fixed{Decision: control.Decision{Levels: control.Levels{Blocked: map[string]float64{"u": 0.2}, Capacity: map[string]int{"a": 1}}}}}
	out, err := control.NewLoop(h, p, h, control.WithAdmission(h), control.WithScaling(h),
		control.WithDryRun()).Step(t.Context())
	if err != nil || out.Held != "dry run" || len(h.did) > 0 {
		t.Errorf("got %v, held %q, did %v: want nothing done", err, out.Held, h.did)
	}
}

func TestLimitsOfControls(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want string // empty: none
	}{
		{"the zero value is off", errors.Join(control.AdmissionLimits{}.Validate(), control.ScalingLimits{}.Validate()),
			""},
		{"more than everything", control.AdmissionLimits{Most: 1.2}.Validate(), "0 (off) to 1"},
		{"no number", control.AdmissionLimits{Most: math.NaN()}.Validate(), "0 (off) to 1"},
		{"a negative settling time", control.AdmissionLimits{Most: 0.5, Settle: -time.Second}.Validate(), "settling"},
		{"more at least than at most", control.ScalingLimits{Min: 3, Max: 2}.Validate(), "3 to 2"},
		{"no unit at all", control.ScalingLimits{Min: 0, Max: 2}.Validate(), "at least 1"},
		{"a negative step", control.ScalingLimits{Min: 1, Max: 2, Step: -1}.Validate(), "step"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.want == "" && c.err != nil || c.want != "" &&
				(c.err == nil || !strings.Contains(c.err.Error(), c.want)) {
				t.Errorf("got %v, want %q", c.err, c.want)
			}
		})
	}
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
	if got := (control.AdmissionLimits{Most: 0.35, Step: 0.1}).Shares(); !slices.EqualFunc(got,
		[]float64{0, 0.1, 0.2, 0.3, 0.35}, near) {
		t.Errorf("shares of at most 0.35 in steps of 0.1: got %v", got)
	}
	if got := (control.AdmissionLimits{Most: 0.35, Step: 0.1}).Clamp(0.9); got != 0.35 {
		t.Errorf("0.9 of at most 0.35: got %v", got)
	}
	if got := (control.ScalingLimits{Min: 1, Max: 5, Step: 2}).Units(); !slices.Equal(got, []int{1, 3, 5}) {
		t.Errorf("1 to 5 in steps of 2: got %v", got)
	}
}
