package trusted

import "strings"

// maxFileName leaves room for an ending and for the names of temporary files.
const maxFileName = 120

// FileName makes a name that somebody else chose, such as that of a scenario or an upstream, the name of a file in a
// folder: one component, not hidden, of letters, digits and ._- only, so that it leads nowhere else.
func FileName(name string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '_'
	}, name)
	clean = strings.TrimLeft(clean, ".-")
	if clean == "" {
		return "_"
	}
	return clean[:min(len(clean), maxFileName)]
}
