package pursuit

import (
	"math"
	"slices"

	"trimtab/weights"
)

// grid is the grid of the controls of a world: for each service the weight vectors and blocking shares that are
// choices, for each server the units.
type grid struct {
	world   *World
	weights [][][]int
	blocked [][]float64
	units   [][]int
	steps   int
}

func newGrid(w *World, opt Options) *grid {
	g := &grid{world: w, steps: opt.Steps}
	for k := range w.Services {
		v := &w.Services[k]
		g.weights = append(g.weights, vectors(v, opt))
		if v.FixedWeights && opt.InForce != nil {
			g.weights[k] = [][]int{opt.InForce.Weights[k]}
		}
		g.blocked = append(g.blocked, v.Admission.Shares())
	}
	for j := range w.Servers {
		units := w.Servers[j].Scaling.Units()
		if len(units) == 0 {
			units = []int{0}
		}
		g.units = append(g.units, units)
	}
	return g
}

// vectors are the weight vectors of a service: all ways to divide its requests into so many parts. Weights end at 1, so
// that a server that is given no part keeps a hundredth.
func vectors(v *Service, opt Options) [][]int {
	live := 0
	for _, l := range v.Links {
		if !l.Off {
			live++
		}
	}
	if live < 2 || compositions(opt.Steps, live) > mostPoints {
		row := make([]int, len(v.Links))
		for i := range row {
			row[i] = 1
		}
		return [][]int{row}
	}
	var out [][]int
	part := make([]int, len(v.Links))
	var fill func(i, left, live int)
	fill = func(i, left, live int) {
		if i == len(part) {
			if left == 0 {
				out = append(out, toWeights(part, v, opt.Steps))
			}
			return
		}
		if v.Links[i].Off {
			part[i] = 0
			fill(i+1, left, live)
			return
		}
		if live == 1 {
			part[i] = left
			fill(i+1, 0, 0)
			return
		}
		for n := 0; n <= left; n++ {
			part[i] = n
			fill(i+1, left-n, live-1)
		}
	}
	fill(0, opt.Steps, live)
	return out
}

// toWeights are the weights of parts: the parts themselves, or a hundred for all of them where one is empty.
func toWeights(part []int, v *Service, steps int) []int {
	row := make([]int, len(part))
	for i, n := range part {
		row[i] = max(n, 1)
		if n == 0 && !v.Links[i].Off {
			for j := range part {
				row[j] = min(max(part[j]*weights.Max/steps, 1), weights.Max)
			}
			return row
		}
	}
	return row
}

// compositions is in how many ways n parts can be given to m servers, at most a large number.
func compositions(n, m int) int {
	ways := 1.0
	for i := 1; i < m; i++ {
		ways *= float64(n+i) / float64(i)
	}
	return int(math.Min(ways, 1e9))
}

// points is the size of the grid, at most a large number.
func (g *grid) points() int {
	n := 1.0
	for k := range g.weights {
		n *= float64(len(g.weights[k])) * float64(len(g.blocked[k]))
		if len(g.weights[k]) == 1 && !g.world.Services[k].FixedWeights && len(g.world.Services[k].Links) > 2 {
			n *= 1e9 // too many vectors to list
		}
	}
	for j := range g.units {
		n *= float64(len(g.units[j]))
	}
	return int(math.Min(n, 1e9))
}

// each calls f with every point; the setting is f's only until it returns.
func (g *grid) each(f func(Setting)) {
	services, servers := len(g.weights), len(g.units)
	s := Setting{Weights: make([][]int, services), Blocked: make([]float64, services), Units: make([]int, servers)}
	var choose func(i int)
	choose = func(i int) {
		switch {
		case i < services:
			for _, row := range g.weights[i] {
				s.Weights[i] = row
				for _, b := range g.blocked[i] {
					s.Blocked[i] = b
					choose(i + 1)
				}
			}
		case i < services+servers:
			for _, u := range g.units[i-services] {
				s.Units[i-services] = u
				choose(i + 1)
			}
		default:
			f(s)
		}
	}
	choose(0)
}

// rounds bounds the passes over all coordinates from one start.
const rounds = 12

// descend goes along the coordinates of the grid, one control of one service or server at a time, from several starts,
// until nothing is better, and returns all settings that it looked at.
func (g *grid) descend(inForce *Setting, look func(Setting) float64) []ranked {
	seen := map[string]float64{}
	var all []ranked
	value := func(s Setting) float64 {
		key := s.key()
		if r, ok := seen[key]; ok {
			return r
		}
		r := look(s)
		seen[key] = r
		all = append(all, ranked{s.Clone(), r, 0})
		return r
	}
	for _, start := range g.starts(inForce) {
		best, at := value(start), start
		for range rounds {
			before := best
			g.neighbours(at, func(s Setting) {
				if r := value(s); r > best {
					best, at = r, s.Clone()
				}
			})
			if best <= before {
				break
			}
		}
	}
	return all
}

// starts are where a descent begins: what is in force, and weights by capacity with all, half and none of the services
// let in.
func (g *grid) starts(inForce *Setting) []Setting {
	w := g.world
	var out []Setting
	if inForce != nil {
		out = append(out, inForce.Clone())
	}
	base := w.Start()
	for k := range w.Services {
		v := &w.Services[k]
		if v.FixedWeights && inForce != nil {
			base.Weights[k] = slices.Clone(inForce.Weights[k])
			continue
		}
		by := make([]float64, len(v.Links))
		for i, l := range v.Links {
			if sec := w.Servers[l.Server].ServiceSec[k]; sec > 0 && !l.Off {
				by[i] = float64(w.slots(&base, l.Server)) / sec
			}
		}
		for i, q := range weights.Quantise(by) {
			base.Weights[k][i] = q.Int()
		}
	}
	for _, part := range []float64{0, 0.5, 1} {
		s := base.Clone()
		for k := range s.Blocked {
			s.Blocked[k] = w.Services[k].Admission.Clamp(part * w.Services[k].Admission.Most)
		}
		out = append(out, s)
	}
	return out
}

// neighbours calls f with every setting that differs from s in one control.
func (g *grid) neighbours(s Setting, f func(Setting)) {
	w := g.world
	for k := range w.Services {
		for _, b := range g.blocked[k] {
			t := s.Clone()
			t.Blocked[k] = b
			f(t)
		}
		v := &w.Services[k]
		if v.FixedWeights {
			continue
		}
		if len(g.weights[k]) > 1 {
			for _, row := range g.weights[k] {
				t := s.Clone()
				t.Weights[k] = slices.Clone(row)
				f(t)
			}
			continue
		}
		for i := range v.Links { // a part of what one server has, to or from all others
			for _, times := range []float64{0.5, 0.8, 1.25, 2} {
				x := make([]float64, len(v.Links))
				for n := range x {
					x[n] = float64(s.Weights[k][n])
				}
				x[i] *= times
				t := s.Clone()
				for n, q := range weights.Quantise(x) {
					t.Weights[k][n] = q.Int()
				}
				f(t)
			}
		}
	}
	for j := range g.units {
		for _, u := range g.units[j] {
			t := s.Clone()
			t.Units[j] = u
			f(t)
		}
	}
}
