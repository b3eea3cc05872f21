package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

var (
	manTable = regexp.MustCompile(`^(?:# )?(\[\[?[a-z_.]+\]\]?)\s*(?:#\s*(.*))?$`)
	manKey   = regexp.MustCompile(`^(?:# )?([a-z_]+ = (?:"[^"]*"|\{[^}]*\}|\[[^\]]*\]|[^#\s]+))\s*(?:#\s*(.*))?$`)
	manMore  = regexp.MustCompile(`^\s+#\s*(.*)$`)
)

// man5 writes trimtab.toml(5) from the example configuration, which documents every key with its default.
func (b build) man5(path string) error {
	text, err := os.ReadFile(b.path("scripts/trimtab.toml"))
	if err != nil {
		return err
	}
	var out strings.Builder
	fmt.Fprintf(&out, ".TH TRIMTAB.TOML 5 %q %q \"Trimtab\"\n.SH NAME\ntrimtab.toml \\- configuration of trimtab "+
		"tune\n.SH DESCRIPTION\n",
		b.at.Format("Jan 2006"), "trimtab "+b.version)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		switch m := manTable.FindStringSubmatch(line); {
		case m != nil:
			fmt.Fprintf(&out, ".SH %s\n%s\n", roff(m[1]), roff(m[2]))
		case line == "":
		default:
			manLine(&out, line)
		}
	}
	out.WriteString(`.SH ENVIRONMENT
Every key outside of [[blocks]] has a variable that goes before the file: TRIMTAB_INTERVAL for interval,
TRIMTAB_STATUS_URL for url of [status].
Lists are separated by commas.
.SH FILES
.TP
.I /etc/trimtab/trimtab.toml
read when nothing else is named
.TP
.I /var/lib/trimtab
the state
.SH SEE ALSO
trimtab-tune(1), trimtab-init(1), trimtab-doctor(1)
`)
	return os.WriteFile(path, []byte(out.String()), 0o644)
}

func manLine(out *strings.Builder, line string) {
	if m := manKey.FindStringSubmatch(line); m != nil {
		fmt.Fprintf(out, ".TP\n.B %s\n%s\n", roff(m[1]), roff(m[2]))
		return
	}
	if m := manMore.FindStringSubmatch(line); m != nil {
		fmt.Fprintf(out, "%s\n", roff(m[1]))
		return
	}
	fmt.Fprintf(out, "%s\n", roff(strings.TrimSpace(strings.TrimPrefix(line, "#"))))
}

// roff makes a text mean itself.
func roff(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\e`), "-", `\-`)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
