package nginx

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// page plays a status page: it shows what the configuration held when its NGINX last started workers, as NGINX does.
type page struct {
	bed *bed

	mu     sync.Mutex
	loaded map[int]bool // workers of the generation shown
	shown  Status
}

func (p *page) status(context.Context) (Status, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ws, err := workers(p.bed.PID)
	if err != nil {
		return Status{}, err
	}
	for _, w := range ws {
		if w.draining || p.loaded[w.pid] {
			continue
		}
		// A new generation: what it has loaded is what stands in the file.
		p.loaded = map[int]bool{}
		for _, w := range ws {
			p.loaded[w.pid] = !w.draining
		}
		cfg, err := ReadConfig(p.bed.Config)
		if err != nil {
			return Status{}, err
		}
		p.shown = Status{LoadMsec: time.Now().UnixMilli(), Upstreams: map[string][]PeerStatus{}}
		for _, u := range cfg.Upstreams {
			for _, peer := range u.Peers {
				p.shown.Upstreams[u.Name] = append(p.shown.Upstreams[u.Name], PeerStatus{Server: peer.Server,
					Weight: peer.Weight, Down: peer.Down})
			}
		}
		break
	}
	return p.shown, nil
}

func TestConfirmationByTheStatusPage(t *testing.T) {
	b := newBed(t, "")
	p := &page{bed: b}
	a := b.applier(t)
	a.Status, a.HoldUnloaded = p.status, true
	for i := range 3 {
		r, err := a.Apply(t.Context(), b.want(3+i, 7))
		if err != nil || !r.Reloaded || len(r.Notes) > 0 {
			t.Fatalf("got %+v, %v, want a confirmed change", r, err)
		}
	}
	if !b.inForce(t, 5, 7) {
		t.Error("the weights are not in force")
	}
}

func TestStatusPageThatCannotBeRead(t *testing.T) {
	b := newBed(t, "")
	a := b.applier(t)
	down := errors.New("connection refused")
	a.Status = func(context.Context) (Status, error) { return Status{}, down }
	r, err := a.Apply(t.Context(), b.want(3, 5))
	if !errors.Is(err, ErrStatus) || !errors.Is(err, down) || r.Changed || b.read(t) != string(b.old) {
		t.Errorf("before the change: got %+v, %v, want nothing changed", r, err)
	}
	// It breaks after the change: not confirmed, so everything goes back, although NGINX did load it.
	p, calls := &page{bed: b}, 0
	a.Status = func(ctx context.Context) (Status, error) {
		if calls++; calls > 1 && strings.Contains(b.read(t), "weight=5") {
			return Status{}, down
		}
		return p.status(ctx)
	}
	a.ConfirmTimeout = 300 * time.Millisecond
	_, err = a.Apply(t.Context(), b.want(3, 5))
	var rollback *RollbackError
	if !errors.As(err, &rollback) || !errors.Is(err, down) {
		t.Fatalf("got %v, want a change that was rolled back", err)
	}
	if b.read(t) != string(b.old) || !b.inForce(t, 1, 2) {
		t.Errorf("got file\n%s\nwant the old one in force", b.read(t))
	}
}

// The page shows other weights than were written: the reload is not what it seems, and is taken back.
func TestStatusPageThatShowsOtherWeights(t *testing.T) {
	b := newBed(t, "")
	p := &page{bed: b}
	a := b.applier(t)
	a.ConfirmTimeout = 300 * time.Millisecond
	a.Status = func(ctx context.Context) (Status, error) {
		s, err := p.status(ctx)
		for i, peer := range s.Upstreams["u"] {
			if peer.Weight == 5 {
				s.Upstreams["u"][i].Weight = 2
			}
		}
		return s, err
	}
	_, err := a.Apply(t.Context(), b.want(3, 5))
	var rollback *RollbackError
	if !errors.As(err, &rollback) || rollback.Restore != nil || !strings.Contains(err.Error(),
		"shows weight 2 of server "+b.b) {
		t.Errorf("got %v, want a change that was rolled back", err)
	}
	if b.read(t) != string(b.old) {
		t.Errorf("got file\n%s", b.read(t))
	}
}

func TestStatusPageOfAnotherServerSet(t *testing.T) {
	b := newBed(t, "")
	a := b.applier(t)
	a.Status = func(context.Context) (Status, error) {
		return Status{LoadMsec: 1, Upstreams: map[string][]PeerStatus{"u": {{Server: b.a, Weight: 1}}}}, nil
	}
	r, err := a.Apply(t.Context(), b.want(3, 5))
	refused(t, r, err, b.b, "is not on the status page")
}

// The weights stand in the file, but NGINX has not loaded it.
func TestWrittenButNotLoaded(t *testing.T) {
	b := newBed(t, "")
	p := &page{bed: b}
	if _, err := p.status(t.Context()); err != nil { // what runs is what was started
		t.Fatal(err)
	}
	if err := os.WriteFile(b.Config, []byte(b.text(3, 5)), 0o644); err != nil {
		t.Fatal(err)
	}
	a := b.applier(t)
	a.Status = p.status
	r, err := a.Apply(t.Context(), b.want(3, 5))
	if err != nil || r.Changed || !r.Reloaded || !b.inForce(t, 3, 5) {
		t.Errorf("got %+v, %v, want a reload and nothing written", r, err)
	}
	r, err = a.Apply(t.Context(), b.want(3, 5))
	if err != nil || r.Changed || r.Reloaded {
		t.Errorf("again: got %+v, %v, want nothing done", r, err)
	}
}

// A person edits and reloads between the sample that a change was decided from and the change: the person wins.
func TestWeightsThatSomebodyElseHasChangedSinceTheDecision(t *testing.T) {
	b := newBed(t, "")
	p := &page{bed: b}
	a := b.applier(t)
	a.Status, a.HoldUnloaded = p.status, true
	decidedFrom := b.want(1, 2)
	if r, err := a.ApplyFrom(t.Context(), b.want(3, 5), decidedFrom); err != nil || !r.Reloaded {
		t.Fatalf("nobody else was there: got %+v, %v, want a change", r, err)
	}
	if _, err := a.Apply(t.Context(), b.want(97, 5)); err != nil { // stands for the person
		t.Fatal(err)
	}
	r, err := a.ApplyFrom(t.Context(), b.want(7, 5), b.want(3, 5))
	refused(t, r, err, "shows weight 97 of server "+b.a, "want 3 as when the change was decided",
		"somebody else has changed it")
	if !b.inForce(t, 97, 5) {
		t.Error("the person's weights are not in force")
	}
}
