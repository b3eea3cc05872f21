package dns

import (
	"bytes"
	"slices"
	"strings"

	"trimtab/nginx"
)

// PlanReset works out the way back: the lines that were commented out come back, Trimtab's go.
func PlanReset(cfg *nginx.Config, zoneName string, upstreams []string) ([]nginx.FileChange, []string, error) {
	zone, err := cleanZone(zoneName)
	if err != nil {
		return nil, nil, err
	}
	edits := map[*nginx.File][]nginx.Edit{}
	var names []string
	for _, u := range cfg.Upstreams {
		if len(upstreams) > 0 && !slices.Contains(upstreams, u.Name) || !Installed(u, zone) {
			continue
		}
		e, err := wayBack(u)
		if err != nil {
			return nil, nil, err
		}
		edits[u.File] = append(edits[u.File], e...)
		names = append(names, u.Name)
	}
	if len(names) == 0 {
		return nil, nil, refuse("no upstream in %s takes its weights by DNS", cfg.Path)
	}
	return changes(cfg, edits), names, nil
}

// wayBack finds Trimtab's lines in an upstream's block.
func wayBack(u *nginx.Upstream) ([]nginx.Edit, error) {
	data := u.File.Data
	var edits []nginx.Edit
	restored := 0
	for at := u.Body(); at < len(data); {
		end := len(data)
		if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		line := strings.TrimSpace(string(data[at:end]))
		if strings.HasSuffix(line, " # trimtab dns") && !strings.HasPrefix(line, "#") ||
			line == "# trimtab dns: nobody stands in" {
			edits = append(edits, nginx.Edit{Offset: at, Old: string(data[at:end])})
		} else if was, ok := strings.CutPrefix(line, mark); ok {
			from := at + bytes.Index(data[at:end], []byte(mark))
			to := end
			for _, p := range u.Peers {
				if start, behind := p.Span(); start >= end && strings.TrimSpace(string(data[end:start])) == "" &&
					p.Backup {
					to = behind
				}
			}
			if to == end {
				was += "\n"
			}
			edits = append(edits, nginx.Edit{Offset: from, Old: string(data[from:to]), New: was})
			restored++
			end = max(end, to)
		}
		if at = end; strings.TrimSpace(line) == "}" {
			break
		}
	}
	if restored == 0 {
		return nil,
			refuse("%s:%d: upstream %q: the lines of before are gone: the comments %q that held them are not there",
				u.File.Path, u.Line, u.Name, strings.TrimSpace(mark))
	}
	return edits, nil
}
