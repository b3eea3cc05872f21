package edge

import "math"

// Features are the names of what a learner sees when a request comes.
func (w *World) Features() []string {
	out := []string{"request/mb", "request/within_s", "request/accuracy"}
	for _, r := range w.Regions {
		out = append(out, "client/"+r)
	}
	for _, s := range w.Servers {
		out = append(out, s.Name+"/inside_per_slot", s.Name+"/log1p_inside")
	}
	return out
}

// SeeTo writes the features; of no request they are 0.
func (w *World) SeeTo(x []float64, r *Request, inside []int) {
	clear(x)
	if r != nil {
		x[0], x[1], x[2] = r.MB, r.Within, r.Accuracy
		x[3+r.Region] = 1
	}
	at := 3 + len(w.Regions)
	for i, n := range inside {
		x[at] = float64(n) / float64(w.Servers[i].Slots)
		x[at+1] = math.Log1p(float64(n))
		at += 2
	}
}

// Choices are all places of a world, denying last.
func (w *World) Choices() []Place {
	var out []Place
	for i, s := range w.Servers {
		for j := range s.Models {
			out = append(out, Place{Server: i, Model: j})
		}
	}
	return append(out, Place{Deny: true})
}

// Name is the place in words.
func (p Place) Name(w *World) string {
	if p.Deny {
		return "deny"
	}
	return w.Servers[p.Server].Name + "/" + w.Servers[p.Server].Models[p.Model].Name
}
