package socialnet

import (
	"context"
	"net/http"
	"testing"
	"time"

	"trimtab/deathstarbench"
)

func TestPauseStopsServicesInProgressAndLetsNoneBegin(t *testing.T) {
	w := newWorld(t, 2, 10)
	inService := w.enter(constant(10*ms), 0)
	w.at(4 * ms)
	w.set(conditions{factor: 1, paused: true})
	late := w.enter(constant(10*ms), 0) // a slot would be free
	w.at(24 * ms)
	if w.busy != 1 || w.waiting != 1 || len(w.events.list) != 0 {
		t.Errorf("during the pause: got %d in service, %d waiting, events %v; want 1, 1, none", w.busy, w.waiting,
			w.events.list)
	}
	w.set(conditions{factor: 1, paused: true}) // a second pause changes nothing
	w.set(conditions{factor: 1})
	if got, o := w.end(t, inService); absolute(got-30*ms) > 1000 || o != served {
		t.Errorf("6 ms were left at 4 ms, the pause ends at 24 ms: got outcome %d at %s, want served at 30ms", o, got)
	}
	if got, o := w.end(t, late); absolute(got-34*ms) > 1000 || o != served {
		t.Errorf("one that came meanwhile begins at the end: got outcome %d at %s, want served at 34ms", o, got)
	}
}

func TestWhatAPauseStoppedIsLostWhenTheServerGoesDown(t *testing.T) {
	w := newWorld(t, 1, 10)
	inService := w.enter(constant(10*ms), 0)
	w.set(conditions{factor: 1, paused: true})
	w.reset()
	if o := <-inService.done; o != lost {
		t.Errorf("got outcome %d, want lost", o)
	}
	w.set(conditions{factor: 1})
	if got, o := w.end(t, w.enter(constant(10*ms), 0)); absolute(got-10*ms) > 1000 || o != served {
		t.Errorf("after it: got outcome %d at %s, want served at 10ms", o, got)
	}
}

func TestHangIsNeverAnswered(t *testing.T) {
	w := newWorld(t, 1, 10)
	w.set(conditions{factor: 1, drawn: []injected{{probability: 1, result: lost}}})
	first, second := w.enter(constant(10*ms), 0), w.enter(constant(10*ms), 0)
	w.set(conditions{factor: 1})
	if first.accepted || w.busy != 0 || w.waiting != 0 {
		t.Errorf("got accepted %v, %d busy, %d waiting: want no work, slot or place in the queue", first.accepted,
			w.busy, w.waiting)
	}
	if got, o := w.end(t, w.enter(constant(10*ms), 0)); absolute(got-10*ms) > 1000 || o != served {
		t.Errorf("one after the fault: got outcome %d at %s, want served at 10ms", o, got)
	}
	w.at(time.Hour)
	select {
	case o := <-first.done:
		t.Errorf("an hour later: got outcome %d, want none", o)
	default:
	}
	w.cancel(first)
	w.cancel(first) // harmless
	w.reset()
	if a, b := <-first.done, <-second.done; a != canceled || b != lost {
		t.Errorf("one whose client gave up, and one cut by the server's end: got outcomes %d and %d", a, b)
	}
	if c := w.count; c.Hung != 2 || c.Canceled != 1 || c.Lost != 1 {
		t.Errorf("got %+v, want 2 hung, 1 canceled, 1 lost", c)
	}
}

func TestShedAnswers429AndHoldsNoSlot(t *testing.T) {
	s, client := startQuick(t, quick())
	id, err := s.SetFault(deathstarbench.Fault{Kind: deathstarbench.Shed})
	if err != nil {
		t.Fatal(err)
	}
	if f := s.Stats().Faults[0]; f.Probability != 1 || f.Latency.Std() != deathstarbench.DefaultShedLatency {
		t.Errorf("what is left out: got probability %g, latency %s", f.Probability, f.Latency.Std())
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addr()+readOne, nil)
	if status, body := get(t, client, req, err); status != http.StatusTooManyRequests || body != "load shed\n" {
		t.Errorf("got %d %q, want 429", status, body)
	}
	if v := s.Stats(); v.Shed != 1 || v.Begun != 0 {
		t.Errorf("got %+v, want one shed and no service", v)
	}
	if _, err := s.ClearFault(id); err != nil {
		t.Fatal(err)
	}
	req, err = http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addr()+readOne, nil)
	if status, _ := get(t, client, req, err); status != http.StatusOK {
		t.Errorf("after the fault: got %d, want 200", status)
	}
}

func TestAHungRequestEndsWithItsClient(t *testing.T) {
	s, client := startQuick(t, quick())
	if _, err := s.SetFault(deathstarbench.Fault{Kind: deathstarbench.Hang}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr()+readOne, nil)
		if err == nil {
			_, err = client.Do(req)
		}
		ended <- err
	}()
	eventually(t, "the request hangs", func() bool { return s.Stats().Hung == 1 })
	cancel()
	if err := <-ended; err == nil {
		t.Error("got an answer")
	}
	eventually(t, "the server notices", func() bool { return s.Stats().Canceled == 1 })
}
