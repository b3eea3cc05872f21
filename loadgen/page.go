package loadgen

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"gonum.org/v1/plot"
)

//go:embed page.html
var pageTemplate string

// page is what the HTML report shows.
type page struct {
	*Report
	Warning     string
	OverTime    template.HTML
	Percentiles template.HTML
	Rows        []pageRow
	Bursts      []pageBurst
}

type pageRow struct {
	Name string
	*Tally
}

type pageBurst struct{ Workload, What, Verdict string }

// WriteHTML writes the report as one self-contained page.
func (r *Report) WriteHTML(w io.Writer) error {
	t, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("write html: %w", err)
	}
	p := page{Report: r, Warning: r.Warning()}
	for _, graph := range []struct {
		to   *template.HTML
		plot func() (*plot.Plot, error)
	}{{&p.OverTime, r.overTime}, {&p.Percentiles, r.percentiles}} {
		drawn, err := graph.plot()
		if err != nil {
			return err
		}
		var svg bytes.Buffer
		if err := writeSVG(&svg, drawn); err != nil {
			return fmt.Errorf("write html: %w", err)
		}
		// The XML declaration has no place inside a page.
		*graph.to = template.HTML(svg.Bytes()[max(0, bytes.Index(svg.Bytes(), []byte("<svg"))):])
	}
	for i := range r.Workloads {
		wl := &r.Workloads[i]
		p.Rows = append(p.Rows, pageRow{wl.Name, &wl.Tally})
		for j := range wl.Bursts {
			p.Bursts = append(p.Bursts, pageBurst{wl.Name, wl.Bursts[j].describe(), wl.Bursts[j].Interarrival.Verdict()})
		}
	}
	if len(r.Workloads) > 1 {
		p.Rows = append(p.Rows, pageRow{"total", &r.Tally})
	}
	if err := t.Execute(w, p); err != nil {
		return fmt.Errorf("write html: %w", err)
	}
	return nil
}
