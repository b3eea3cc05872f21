package daemon

import (
	"fmt"

	"trimtab/plain"
	"trimtab/vts"
)

// fits reports whether what the page shows of a group can be tuned by. What cannot is left out, and said once.
func (s *Session) fits(g vts.GroupSample) bool {
	why := g.LongLived()
	s.mu.Lock()
	if lines := s.named[g.Name]; why == "" && lines > 0 {
		why = names(g, lines)
	}
	was := s.unfit[g.Name]
	if why == "" {
		delete(s.unfit, g.Name)
	} else {
		if s.unfit == nil {
			s.unfit = map[string]string{}
		}
		s.unfit[g.Name] = fmt.Sprintf("upstream %q: %s", plain.Text(g.Name), why)
	}
	s.mu.Unlock()
	if why != "" && was == "" {
		s.log.Warn("an upstream is not tuned", "upstream", g.Name, "reason", why)
	}
	return why == ""
}

// names says why a group with servers that are written by name cannot be tuned by reloads; empty when it can: each of
// its lines is one server on the page.
func names(g vts.GroupSample, lines int) string {
	servers := map[string]bool{}
	for i := range g.Peers {
		servers[g.Peers[i].Server] = true
	}
	if len(servers) == lines {
		return ""
	}
	return fmt.Sprintf("its %d lines, some by name, are %d servers on the status page, and those of one line share "+
		"its weight: kind = \"dns\" gives each its own",
		lines, len(servers))
}
