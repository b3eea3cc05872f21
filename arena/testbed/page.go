package testbed

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"strings"
)

// page is report.html: self-contained, no script, nothing fetched.
var page = template.Must(template.New("report.html").Funcs(template.FuncMap{
	"vector": vector,
	"ms":     func(v float64) string { return fmt.Sprintf("%.1f", v) },
}).Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Trimtab: {{.Report.Scenario}}, {{.Report.Policy}}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child, td.text, th.text { text-align: left; } .gain { font-size: 1.15rem; } .wide { overflow-x: auto; }
svg { width: 100%; height: auto; margin: .4rem 0; } .note { color: #555; }
</style>
{{with .Report}}
<h1>{{.Scenario}}: starting weights against {{.Policy}}</h1>
<p class="gain">{{if .P99Ratio}}p99 latency went from {{ms .Before.Latency.P99}} ms to {{ms .Tuned.Latency.P99}} ms: {{printf "%.1f" .P99Ratio}} times lower{{else}}The run ended before both parts had requests.{{end}}</p>
<p class="note">Latencies are counted from the moment each request was due. {{if .Interrupted}}The run was interrupted. {{end}}NGINX {{.NGINX}}, trimtab {{.Version}}, seed {{.Seed}}, started {{.Started.Format "2006-01-02 15:04:05 MST"}}, {{printf "%.0f" .DurationS}} s of load.</p>
<div class="wide"><table>
<tr><th></th><th>starting weights</th><th>transition</th><th>{{.Policy}}</th></tr>
<tr><td>requests due in</td>{{range $.Parts}}<td>{{printf "%.0f–%.0f s" .FromS .ToS}}</td>{{end}}</tr>
<tr><td>requests</td>{{range $.Parts}}<td>{{.Requests}}</td>{{end}}</tr>
<tr><td>errors</td>{{range $.Parts}}<td>{{.Errors}}</td>{{end}}</tr>
<tr><td>mean (ms)</td>{{range $.Parts}}<td>{{ms .Latency.Mean}}</td>{{end}}</tr>
<tr><td>p50 (ms)</td>{{range $.Parts}}<td>{{ms .Latency.P50}}</td>{{end}}</tr>
<tr><td>p90 (ms)</td>{{range $.Parts}}<td>{{ms .Latency.P90}}</td>{{end}}</tr>
<tr><td>p99 (ms)</td>{{range $.Parts}}<td>{{ms .Latency.P99}}</td>{{end}}</tr>
<tr><td>ART per request</td>{{range $.Parts}}<td>{{printf "%.3f" .ARTPerRequest}}</td>{{end}}</tr>
<tr><td>reloads</td>{{range $.Parts}}<td>{{.Reloads}}</td>{{end}}</tr>
{{range $group, $w := .Weights}}<tr><td>{{$group}}</td>{{range $.Parts}}<td>{{vector (index .Weights $group)}}</td>{{end}}</tr>
{{end}}</table></div>
<p class="note">Weights in the order of the servers{{range $name, $addr := .Servers}} {{$name}} ({{$addr}}){{end}}. ART is the accumulated relative tardiness against the deadlines{{range $workload, $d := .Deadlines}} {{$workload}} {{$d}} ms{{end}}.</p>
{{end}}
<h2>Over time</h2>
{{.SVG}}
<h2>Decisions</h2>
<div class="wide"><table><tr><th>at (s)</th><th>p99 (ms)</th><th>reload</th><th class="text">reason</th></tr>
{{range .Report.Intervals}}{{if .Reason}}<tr><td>{{printf "%.0f" .AtS}}</td><td>{{ms .P99}}</td><td>{{if .Reloaded}}yes{{end}}</td><td class="text">{{.Reason}}</td></tr>
{{end}}{{end}}</table></div>
</html>
`))

func (r *Report) writeHTML(w io.Writer) error {
	var b bytes.Buffer
	if err := r.writeSVG(&b); err != nil {
		return err
	}
	// Within HTML the picture goes without its XML prologue.
	svg := b.String()
	svg = svg[max(0, strings.Index(svg, "<svg")):]
	return page.Execute(w, struct {
		Report *Report
		Parts  []Part
		SVG    template.HTML
	}{r, []Part{r.Before, r.Transition, r.Tuned}, template.HTML(svg)})
}
