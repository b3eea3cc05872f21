package socialnet

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// world is a station on a clock of its own: nothing waits, and the tests are exact.
type world struct {
	*station
	now time.Duration
}

func newWorld(t testing.TB, slots, limit int) *world {
	t.Helper()
	s, err := newStation(slots, limit, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{station: s}
	s.clock = func() time.Duration { return w.now }
	t.Cleanup(s.close)
	return w
}

// at lets the time pass to an instant and does what is due.
func (w *world) at(instant time.Duration) {
	w.now = instant
	w.mu.Lock()
	w.advance(instant)
	w.mu.Unlock()
}

// end lets the time pass until the ticket is done and returns when and how.
func (w *world) end(t testing.TB, ticket *ticket) (time.Duration, outcome) {
	t.Helper()
	for {
		select {
		case o := <-ticket.done:
			return w.now, o
		default:
		}
		if len(w.events.list) == 0 {
			t.Fatal("nothing is due and the request is not done")
		}
		w.at(w.events.list[0].at)
	}
}

func constant(d time.Duration) draw { return newDraw(d, 0) }

const ms = time.Millisecond

func TestStationServesFirstComeFirstServed(t *testing.T) {
	w := newWorld(t, 1, 10)
	first, second, third := w.enter(constant(10*ms), 0), w.enter(constant(10*ms), 0), w.enter(constant(10*ms), 0)
	for i, c := range []struct {
		ticket *ticket
		want   time.Duration
	}{
		{first, 10 * ms},  // finds the slot free
		{second, 20 * ms}, // waits for the first
		{third, 30 * ms},  // waits for both
	} {
		if got, o := w.end(t, c.ticket); absolute(got-c.want) > 1000 || o != served {
			t.Errorf("request %d: got %s, outcome %d, want %s, served", i, got, o, c.want)
		}
	}
}

// absolute: constant services are off by the rounding of exp(log m), a few ns.
func absolute(d time.Duration) time.Duration { return max(d, -d) }

// The successor of a request begins when that one was due to end, not when somebody noticed.
func TestStationLosesNothingToALateTimer(t *testing.T) {
	w := newWorld(t, 1, 10)
	w.enter(constant(10*ms), 0)
	second := w.enter(constant(10*ms), 0)
	w.at(19 * ms) // 9 ms late
	if got, _ := w.end(t, second); absolute(got-20*ms) > 1000 {
		t.Errorf("got %s, want 20ms", got)
	}
	// One that came after the slot was due to be free begins on arrival.
	w.enter(constant(10*ms), 0) // 20…30
	w.at(25 * ms)
	w.now = 35 * ms // nobody has noticed the end at 30 yet
	if got, _ := w.end(t, w.enter(constant(10*ms), 0)); absolute(got-45*ms) > 1000 {
		t.Errorf("got %s, want 45ms", got)
	}
}

func TestStationRefusesBeyondTheQueueLimit(t *testing.T) {
	w := newWorld(t, 2, 3)
	for i := range 7 {
		ticket := w.enter(constant(10*ms), 0)
		if want := i < 5; ticket.accepted != want { // two in service, three waiting
			t.Errorf("request %d: got accepted %v, want %v", i, ticket.accepted, want)
		}
		if i >= 5 {
			if at, o := w.end(t, ticket); at != 0 || o != refused {
				t.Errorf("request %d: got %d at %s, want refused at once", i, o, at)
			}
		}
	}
	if got := w.count.Refused; got != 2 {
		t.Errorf("got %d refused, want 2", got)
	}
}

func TestNetworkDelayHoldsNoSlot(t *testing.T) {
	w := newWorld(t, 1, 10)
	first, second := w.enter(constant(10*ms), 100*ms), w.enter(constant(10*ms), 100*ms)
	if got, _ := w.end(t, first); absolute(got-110*ms) > 1000 {
		t.Errorf("first: got %s, want 110ms", got)
	}
	if got, _ := w.end(t, second); absolute(got-120*ms) > 1000 {
		t.Errorf("second: got %s, want 120ms, not after the first one's journey", got)
	}
}

func TestCanceledRequestsLeaveTheQueue(t *testing.T) {
	w := newWorld(t, 1, 1)
	inService, waiting := w.enter(constant(10*ms), 0), w.enter(constant(10*ms), 0)
	w.cancel(waiting)
	next := w.enter(constant(10*ms), 0) // has its place
	w.cancel(inService)                 // holds its slot all the same
	if got, o := w.end(t, next); absolute(got-20*ms) > 1000 || o != served {
		t.Errorf("got %d at %s, want served at 20ms", o, got)
	}
	if o := <-waiting.done; o != canceled {
		t.Errorf("got %d, want canceled", o)
	}
}

// However many give up, the queue holds no more than twice its limit, and those who stay keep their order.
func TestCanceledRequestsDoNotPileUp(t *testing.T) {
	w := newWorld(t, 1, 10)
	w.enter(constant(time.Hour), 0)
	stay := []*ticket{w.enter(constant(ms), 0), nil}
	for range 1000 {
		w.cancel(w.enter(constant(ms), 0))
	}
	stay[1] = w.enter(constant(ms), 0)
	if w.queue.n > 21 || w.waiting != 2 {
		t.Errorf("got %d in the queue and %d waiting, want at most 21 and 2", w.queue.n, w.waiting)
	}
	for i, ticket := range stay {
		if got, _ := w.end(t, ticket); absolute(got-time.Hour-time.Duration(i+1)*ms) > time.Microsecond {
			t.Errorf("request %d: got %s, want it after those before it", i, got)
		}
	}
}

func TestResetLosesEverything(t *testing.T) {
	w := newWorld(t, 1, 10)
	tickets := []*ticket{w.enter(constant(10*ms), 50*ms), w.enter(constant(10*ms), 0), w.enter(constant(10*ms), 0)}
	w.at(15 * ms) // the first is on its way, the second in service, the third waits
	w.reset()
	for i, ticket := range tickets {
		if o := <-ticket.done; o != lost {
			t.Errorf("request %d: got %d, want lost", i, o)
		}
	}
	if got, o := w.end(t, w.enter(constant(10*ms), 0)); absolute(got-25*ms) > 1000 || o != served {
		t.Errorf("a request after it: got %d at %s, want served at 25ms", o, got)
	}
}

func TestFaultsOfTheModel(t *testing.T) {
	w := newWorld(t, 2, 10)
	// A slowdown stretches services that begin meanwhile, and only those.
	before := w.enter(constant(10*ms), 0)
	w.set(conditions{factor: 3})
	during := w.enter(constant(10*ms), 0)
	w.set(conditions{factor: 1})
	if got, _ := w.end(t, before); absolute(got-10*ms) > 1000 {
		t.Errorf("begun before the slowdown: got %s, want 10ms", got)
	}
	if got, _ := w.end(t, during); absolute(got-30*ms) > 1000 {
		t.Errorf("begun during the slowdown: got %s, want 30ms", got)
	}
	// With fewer slots, those in service stay and the next wait until fewer are busy than there are slots.
	one, two := w.enter(constant(10*ms), 0), w.enter(constant(10*ms), 0) // 30…40
	w.set(conditions{factor: 1, slots: 1})
	three, four := w.enter(constant(10*ms), 0), w.enter(constant(10*ms), 0)
	for i, c := range []struct {
		ticket *ticket
		want   time.Duration
	}{{one, 40 * ms}, {two, 40 * ms}, {three, 50 * ms}, {four, 60 * ms}} {
		if got, _ := w.end(t, c.ticket); absolute(got-c.want) > 1000 {
			t.Errorf("capacity: request %d: got %s, want %s", i, got, c.want)
		}
	}
	// More slots let those in that wait.
	w.enter(constant(10*ms), 0) // 60…70
	waiting := w.enter(constant(10*ms), 0)
	w.at(65 * ms)
	w.set(conditions{factor: 1, slots: 2})
	if got, _ := w.end(t, waiting); absolute(got-75*ms) > 1000 {
		t.Errorf("a new slot at 65ms: got %s, want 75ms", got)
	}
	// An injected error comes after its latency and the network's, and holds no slot.
	fails := []injected{{probability: 1, result: failed, latency: 2 * ms}}
	w.set(conditions{factor: 1, slots: 1, delay: 5 * ms, drawn: fails})
	bad := w.enter(constant(time.Hour), 1*ms)
	if bad.accepted {
		t.Error("a failing request: want no work done for it")
	}
	if got, o := w.end(t, bad); got != 83*ms || o != failed {
		t.Errorf("got %d at %s, want failed at 83ms", o, got)
	}
	if w.busy != 0 {
		t.Errorf("got %d busy slots, want 0", w.busy)
	}
}

func TestInjectedErrorsHaveTheirProbability(t *testing.T) {
	w := newWorld(t, 1, 1<<30)
	w.set(conditions{factor: 1, drawn: []injected{{probability: 0.3, result: failed},
		{probability: 0.5, result: failed}}})
	const n = 20000
	for range n {
		w.now += ms
		w.enter(constant(1), 0)
	}
	w.at(w.now + time.Hour)
	want := 1 - 0.7*0.5 // two faults at once are drawn one after the other
	got := float64(w.count.Failed) / n
	if sd := math.Sqrt(want * (1 - want) / n); math.Abs(got-want) > 4*sd {
		t.Errorf("got share %.4f, want %.2f within four standard deviations", got, want)
	}
}

// Mean and coefficient of variation are those asked for, and the logarithm is normal.
func TestServiceTimesAreLognormal(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, cv := range []float64{0, 0.25, 0.5, 1} {
		d := newDraw(20*ms, cv)
		const n = 200_000
		sum, squares, skew := 0.0, 0.0, 0.0
		for range n {
			x := float64(d.next(rng)) / float64(20*ms)
			sum += x
			squares += x * x
			if cv > 0 {
				z := (math.Log(x*float64(20*ms)) - d.mu) / d.sigma
				skew += z * z * z
			}
		}
		mean := sum / n
		sd := math.Sqrt(max(0, squares/n-mean*mean))
		if math.Abs(mean-1) > 4*cv/math.Sqrt(n)+1e-6 {
			t.Errorf("cv %g: got mean %.5f of the one asked for", cv, mean)
		}
		if math.Abs(sd-cv) > 0.03*cv+1e-6 {
			t.Errorf("cv %g: got %.4f", cv, sd)
		}
		if math.Abs(skew/n) > 4*math.Sqrt(15.0/n) {
			t.Errorf("cv %g: third moment of the standardised logarithm %.4f, want 0", cv, skew/n)
		}
	}
}

// Offered more than it can serve, a station serves slots ÷ mean service per second: its knee.
func TestSaturatedThroughputIsSlotsOverMeanService(t *testing.T) {
	for _, c := range []struct {
		slots int
		mean  time.Duration
		cv    float64
	}{{1, 5 * ms, 0.5}, {4, 20 * ms, 0.5}, {8, 25 * ms, 1}, {2, 40 * ms, 0}} {
		w := newWorld(t, c.slots, 2000)
		rng := rand.New(rand.NewPCG(7, 7))
		capacity := float64(c.slots) / c.mean.Seconds()
		const horizon = 200 * time.Second
		for w.now < horizon {
			w.at(w.now + time.Duration(rng.ExpFloat64()/(1.3*capacity)*float64(time.Second)))
			w.enter(newDraw(c.mean, c.cv), 0)
		}
		got := float64(w.count.Served) / w.now.Seconds()
		if math.Abs(got/capacity-1) > 0.03 {
			t.Errorf("%d slots of %s: got %.2f/s, want %.2f/s within 3 %%", c.slots, c.mean, got, capacity)
		}
	}
}

// The mean wait of a single slot is that of Pollaczek and Khinchine, W = ρ s (1+v²) / 2(1−ρ): the queue is no
// queue of its own making.
func TestWaitsAreThoseOfPollaczekAndKhinchine(t *testing.T) {
	const mean, cv, rho = 10 * ms, 0.5, 0.7
	w := newWorld(t, 1, 1<<30)
	rng := rand.New(rand.NewPCG(3, 9))
	arrived := map[*ticket]time.Duration{}
	var total time.Duration
	n := 0
	collect := func() {
		for ticket, at := range arrived {
			select {
			case <-ticket.done:
				total += w.now - at
				n++
				delete(arrived, ticket)
			default:
			}
		}
	}
	for next := time.Duration(0); n < 150_000; {
		for len(w.events.list) > 0 && w.events.list[0].at < next {
			w.at(w.events.list[0].at)
			collect()
		}
		w.at(next)
		collect()
		arrived[w.enter(newDraw(mean, cv), 0)] = next
		next += time.Duration(rng.ExpFloat64() * float64(mean) / rho)
	}
	got := total.Seconds() / float64(n)
	want := mean.Seconds() * (1 + rho*(1+cv*cv)/(2*(1-rho)))
	if math.Abs(got/want-1) > 0.05 {
		t.Errorf("mean time in the station: got %.2f ms, want %.2f ms within 5 %%", 1e3*got, 1e3*want)
	}
}

func BenchmarkStation(b *testing.B) {
	w := newWorld(b, 8, 2000)
	d := newDraw(10*ms, 0.5)
	for range 1000 {
		w.enter(d, 0)
	}
	b.ReportAllocs()
	for b.Loop() {
		w.at(w.now + 1250*time.Microsecond)
		w.enter(d, 0)
	}
}
