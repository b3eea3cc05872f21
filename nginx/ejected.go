package nginx

import "slices"

// ejections returns the down marks that are Trimtab's own after the last change.
func (j *journal) ejections() []ejection {
	if j == nil {
		return nil
	}
	return j.Ejected
}

// ejected reports whether the down mark of the server is Trimtab's own.
func (j *journal) ejected(upstream, server string) bool {
	return slices.Contains(j.ejections(), ejection{upstream, server})
}

// Ejected returns which servers carry a down mark of Trimtab's own.
func (a *Applier) Ejected() (func(upstream, server string) bool, error) {
	last, err := a.readJournal(lastName)
	if err != nil {
		return nil, err
	}
	return last.ejected, nil
}

// wrote reports whether the file's content is what the last change made effective.
func (j *journal) wrote(f *File) bool {
	return j != nil && slices.ContainsFunc(j.Files, func(w journalFile) bool {
		return w.Real == f.Real && w.New == f.Hash
	})
}

// ejections returns the down marks that are Trimtab's own once the plan has been carried out: those it adds, and the
// earlier ones that still stand.
func (p *Plan) ejections(earlier []ejection) []ejection {
	var out []ejection
	for _, u := range p.Config.Upstreams {
		for _, peer := range u.Peers {
			e := ejection{u.Name, peer.Label()}
			down := peer.Down
			if s, ok := p.Weights[e.Upstream][e.Server]; ok {
				down = s.Down
			}
			if down && (!peer.Down || slices.Contains(earlier, e)) {
				out = append(out, e)
			}
		}
	}
	return out
}
