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
