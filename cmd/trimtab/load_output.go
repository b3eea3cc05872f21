package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/pflag"

	"trimtab/loadgen"
	"trimtab/page"
)

// loadOutputs names the files that trimtab load writes.
type loadOutputs struct {
	reportJSON, ndjson, results, html, png string
}

func (o *loadOutputs) add(fl *pflag.FlagSet) {
	fl.StringVar(&o.reportJSON, "report", "", "file for the report in JSON")
	fl.StringVar(&o.html, "html", "", "file for the report as one page with plots")
	fl.StringVar(&o.png, "png", "", "file for the plots as a picture")
	fl.StringVar(&o.ndjson, "ndjson", "", "file for one JSON object per second")
	fl.StringVar(&o.results, "results", "", "file for every result, as vegeta's report and plot read them")
}

// loadFiles are the opened outputs. They are opened before the load starts, so that a bad path costs no run.
type loadFiles struct {
	started func() time.Time

	reports []reportFile
	files   []io.Closer
	seconds *bufio.Writer
	writer  *loadgen.ResultsWriter
	err     error // the first of writing seconds
}

// reportFile is a file that the finished report is written to.
type reportFile struct {
	to    io.Writer
	write func(*loadgen.Report, io.Writer) error
}

func (o *loadOutputs) open(workloads []string) (files *loadFiles, err error) {
	f := &loadFiles{}
	defer func() {
		if err != nil {
			_ = f.close()
		}
	}()
	for _, out := range []struct {
		path  string
		write func(*loadgen.Report, io.Writer) error
	}{
		{o.reportJSON, func(r *loadgen.Report, w io.Writer) error { return printJSON(w, r) }},
		{o.html, func(r *loadgen.Report, w io.Writer) error {
			p := loadPage(r)
			return page.Write(w, page.Data{Report: &p})
		}},
		{o.png, (*loadgen.Report).WritePNG},
	} {
		if out.path == "" {
			continue
		}
		file, err := create(out.path)
		if err != nil {
			return nil, err
		}
		f.files = append(f.files, file)
		f.reports = append(f.reports, reportFile{file, out.write})
	}
	if o.ndjson != "" {
		file, err := create(o.ndjson)
		if err != nil {
			return nil, err
		}
		f.files = append(f.files, file)
		f.seconds = bufio.NewWriter(file)
	}
	if o.results != "" {
		file, err := create(o.results)
		if err != nil {
			return nil, err
		}
		f.files = append(f.files, file)
		f.writer = loadgen.NewResultsWriter(file, func() time.Time { return f.started() }, workloads)
	}
	return f, nil
}

// second writes what completed in one second.
func (f *loadFiles) second(s loadgen.Second) {
	if f.seconds == nil || f.err != nil {
		return
	}
	if f.err = printJSON(f.seconds, s); f.err == nil {
		f.err = f.seconds.Flush() // so that the file can be followed
	}
}

// result returns what takes in every result, or nil.
func (f *loadFiles) result() func(loadgen.Result) {
	if f.writer == nil {
		return nil
	}
	return f.writer.Write
}

// report writes the finished report to every file that wants it.
func (f *loadFiles) report(r *loadgen.Report) error {
	var errs []error
	for _, file := range f.reports {
		errs = append(errs, file.write(r, file.to))
	}
	return withCode(exitConfig, errors.Join(errs...))
}

func (f *loadFiles) close() error {
	errs := []error{f.err}
	if f.writer != nil {
		errs = append(errs, f.writer.Close())
	}
	for _, file := range f.files {
		errs = append(errs, file.Close())
	}
	return withCode(exitConfig, errors.Join(errs...))
}

// loadProgress shows how a load is going.
type loadProgress struct {
	line   *statusLine
	attack *loadgen.Attack
}

func newLoadProgress(e *env) *loadProgress { return &loadProgress{line: newStatusLine(e)} }

func (p *loadProgress) second(s loadgen.Second) {
	elapsed := time.Duration(s.At * float64(time.Second)).Round(time.Second)
	total := p.attack.Duration()
	p.line.show(elapsed, fmt.Sprintf("%s %s, %s remaining · %.0f/s · p99 %.1f ms · %d errors · lateness %.1f ms",
		bar(s.At/total.Seconds(), barCells), elapsed, max(0, total-elapsed).Round(time.Second),
		s.Total.RatePerS, s.Total.Latency.P99, s.Total.Errors, s.Total.Lateness.P99))
}

func (p *loadProgress) done() { p.line.done() }
