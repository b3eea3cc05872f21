package page

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strings"
)

// edition names the version of the page's files.
func edition() string {
	h := sha256.New()
	for _, name := range []string{"page.js", "page.css", "uplot.js", "uplot.css", "page.html"} {
		text, err := assets.ReadFile("assets/" + name)
		if err != nil {
			return "unknown"
		}
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Write writes the page as one file with its data inside, which needs nothing else.
func Write(w io.Writer, d Data) error {
	title := "Trimtab"
	switch {
	case d.Report != nil && d.Report.Title != "":
		title = d.Report.Title
	case d.State != nil:
		title = d.State.About.Title
	}
	return document(w, title, &d)
}

// document writes page.html: with data all of it in one, without it as links to the other files.
func document(w io.Writer, title string, d *Data) error {
	text, err := assets.ReadFile("assets/page.html")
	if err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	t, err := template.New("page").Parse(string(text))
	if err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	fill := struct {
		Title   string
		Inline  bool
		Style   template.CSS
		Scripts []template.JS
		Data    template.JS
		Version string
	}{Title: title, Inline: d != nil, Version: edition()}
	if d != nil {
		data, err := json.Marshal(d) // which escapes <, > and &: no text in it ends the script
		if err != nil {
			return fmt.Errorf("write page: %w", err)
		}
		fill.Data = template.JS(data)
		read := func(name string) string {
			text, err2 := assets.ReadFile("assets/" + name)
			if err2 != nil {
				err = err2
			}
			return string(text)
		}
		fill.Style = template.CSS(read("uplot.css") + read("page.css"))
		for _, name := range []string{"uplot.js", "page.js"} {
			fill.Scripts = append(fill.Scripts, template.JS(strings.ReplaceAll(read(name), "</script", "<\\/script")))
		}
		if err != nil {
			return fmt.Errorf("write page: %w", err)
		}
	}
	if err := t.Execute(w, fill); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}
