package tuner

// Ejected are the servers that are marked down for failing, by group.
func (t *Tuner) Ejected() map[string][]string {
	var out map[string][]string
	for _, p := range t.pools {
		for _, g := range p.groups {
			for i := range g.links {
				if l := &g.links[i]; l.Eject.Active {
					if out == nil {
						out = map[string][]string{}
					}
					out[g.name] = append(out[g.name], l.server.address)
				}
			}
		}
	}
	return out
}

// Asked tells, before an interval is observed, that an ejected server was asked beside NGINX, and whether it answered
// as it should. One that does not is not tried by requests; one that does is let back at once, unless it failed after
// it was let back so.
func (t *Tuner) Asked(group, server string, answers bool) {
	for _, p := range t.pools {
		for _, g := range p.groups {
			if g.name != group {
				continue
			}
			for i := range g.links {
				if l := &g.links[i]; l.server.address == server && l.Eject.Active {
					l.Eject.Asked, l.Eject.Answers = true, answers
				}
			}
		}
	}
}
