package daemon

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"trimtab/control"
	"trimtab/vts"
	"trimtab/weights"
	"trimtab/words"
)

// step is one page, all the way. An error is what must not be.
func (c *chain) step() (err error) {
	fault := control.Contain(func() { err = c.through() })
	if fault != nil {
		return fault
	}
	return err
}

func (c *chain) through() error {
	c.pass()
	c.write()
	c.pages++
	at := time.UnixMilli(c.now)
	if err := vts.Decode(c.text, at, &c.page); err != nil {
		c.rejected++
		return nil
	}
	before, began := c.last, c.began
	c.last, c.page, c.began = c.page, before, true
	if !began {
		return nil
	}
	sample, err := vts.Delta(&before, &c.last)
	if err != nil {
		c.rejected++
		return nil
	}
	c.samples++
	c.policy.Observe(sample, control.InForce(sample))
	d := c.policy.Choose()
	e := c.policy.(explainer).Explain()
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("explanation: %w", err)
	}
	if words.Text(&e, words.Budget{}) == "" || d.Reason == "" {
		return fmt.Errorf("explanation %.200q, reason %q", text, d.Reason)
	}
	if _, err := json.Marshal(Report{Reason: d.Reason, InForce: relabel(control.InForce(sample), label),
		Explanation: text}); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	out := control.Outcome{Sample: sample, Decision: d}
	if len(d.Weights) > 0 {
		c.decisions++
		if err := c.sound(sample, d.Weights); err != nil {
			return err
		}
		if c.rng.IntN(4) > 0 {
			c.applied++
			c.apply(d.Weights)
			out.Applied, out.Receipt = true, control.Receipt{Want: d.Weights, Changed: true, Reloaded: true,
				Took: time.Millisecond}
			c.policy.Committed(out.Receipt)
		}
	}
	c.metrics.Step(&sample, "", out, &e, time.Millisecond, nil)
	if c.pages%16 == 0 {
		if err := finiteMetrics(c.reg); err != nil {
			return err
		}
	}
	if c.pages%256 == 0 {
		return c.restart()
	}
	return nil
}

// sound reports a decision that is none: other servers than those of the page, nobody left, weights out of bounds.
func (c *chain) sound(sample vts.Sample, want weights.Set) error {
	inForce := control.InForce(sample)
	for name, group := range want {
		if !group.SameServers(inForce[name]) {
			return fmt.Errorf("upstream %q: %v for %v", name, group, inForce[name])
		}
		up, were := 0, 0
		for server, s := range group {
			if !inForce[name][server].Down {
				were++
			}
			if w := s.Weight.Int(); w < 1 || w > 100 {
				return fmt.Errorf("upstream %q: server %q gets %d", name, server, w)
			}
			if !s.Down {
				up++
			}
		}
		if up == 0 && were > 0 { // an operator may have taken all of them out
			return fmt.Errorf("upstream %q: nobody is left", name)
		}
	}
	return nil
}

// apply has the page show the weights from now on.
func (c *chain) apply(want weights.Set) {
	c.load = max(c.load, c.now)
	for g := range c.groups {
		for i := range c.groups[g].peers {
			p := &c.groups[g].peers[i]
			if s, ok := want[c.groups[g].name][p.server]; ok {
				p.weight, p.down = s.Weight.Int(), s.Down
			}
		}
	}
}

// restart has another learner go on from what was kept.
func (c *chain) restart() error {
	text, err := snapshotOf(c.policy)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	next, err := c.newPolicy()
	if err != nil {
		return err
	}
	if err := restoreTo(next, text); err != nil {
		return fmt.Errorf("what was learned is refused: %w", err)
	}
	c.policy = next
	return nil
}

// finiteMetrics reports a metric that is no number, or that cannot be had.
func finiteMetrics(reg *prometheus.Registry) error {
	families, err := reg.Gather()
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			v := m.GetCounter().GetValue() + m.GetGauge().GetValue()
			if f.GetType() == dto.MetricType_HISTOGRAM {
				v = m.GetHistogram().GetSampleSum()
			}
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("metric %s %v is %g", f.GetName(), m.GetLabel(), v)
			}
		}
	}
	return nil
}

// chainPages is how long one world lasts at most.
const chainPages = 1000

// playChain plays worlds of a seed until so many pages have been, and reports what must not be with the world and the
// page of it.
func playChain(seed, first uint64, pages int, told func(done int, c *chain)) error {
	for world, done := first, 0; done < pages; world++ {
		c, err := newChain(seed, world)
		if err != nil {
			return fmt.Errorf("seed %d, world %d: %w", seed, world, err)
		}
		for range min(1+c.rng.IntN(chainPages), pages-done) {
			if err := c.step(); err != nil {
				return fmt.Errorf("seed %d, world %d, page %d: %w\n%.4000q", seed, world, c.pages, err, c.text)
			}
			done++
		}
		told(done, c)
	}
	return nil
}

// From the bytes of a page to JSON nothing panics and no number is none. TRIMTAB_CHAIN_PAGES has it go on for as many
// pages, from TRIMTAB_CHAIN_SEED: scripts/chain.sh.
func TestChainFromPageToJSON(t *testing.T) {
	pages, seed := 2000, uint64(1)
	if testing.Short() {
		pages = 500
	}
	if text := os.Getenv("TRIMTAB_CHAIN_PAGES"); text != "" {
		var err error
		if pages, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
		if seed, err = strconv.ParseUint(os.Getenv("TRIMTAB_CHAIN_SEED"), 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	var sum chain
	worlds, began, said := 0, time.Now(), 0
	err := playChain(seed, 0, pages, func(done int, c *chain) {
		worlds++
		sum.pages, sum.rejected, sum.samples = sum.pages+c.pages, sum.rejected+c.rejected, sum.samples+c.samples
		sum.decisions, sum.applied = sum.decisions+c.decisions, sum.applied+c.applied
		if done-said >= 10_000 {
			said = done
			fmt.Printf("%d pages of %d worlds, %d decisions, %.0f pages/s\n", done, worlds, sum.decisions,
				float64(done)/time.Since(began).Seconds())
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d pages of %d worlds: %d rejected, %d samples, %d decisions, %d applied, in %s", sum.pages, worlds,
		sum.rejected, sum.samples,
		sum.decisions, sum.applied, time.Since(began).Round(time.Millisecond))
	if sum.samples < pages/2 || sum.decisions == 0 || sum.applied == 0 || sum.rejected == 0 {
		t.Error("the pages do not reach all of the chain")
	}
}

// FuzzChain looks for worlds in which something panics or is no number.
func FuzzChain(f *testing.F) {
	for world := range uint64(8) {
		f.Add(uint64(1), world, uint16(40))
	}
	f.Fuzz(func(t *testing.T, seed, world uint64, pages uint16) {
		c, err := newChain(seed, world)
		if err != nil {
			t.Fatal(err)
		}
		for range min(int(pages), chainPages) {
			if err := c.step(); err != nil {
				t.Fatalf("page %d: %v", c.pages, err)
			}
		}
	})
}
