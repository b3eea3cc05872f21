package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// pathFlag is a path that means the same whatever program it is handed to: relative ones are made absolute, because
// NGINX takes them from its own prefix.
type pathFlag string

func pathVar(fl *pflag.FlagSet, p *string, name, short, value, usage string) {
	*p = value
	fl.VarP((*pathFlag)(p), name, short, usage)
}

func (p *pathFlag) String() string { return string(*p) }

// Type implements pflag.Value.
func (p *pathFlag) Type() string { return "string" }

// Set implements pflag.Value; an empty path stays empty.
func (p *pathFlag) Set(text string) error {
	if text == "" {
		*p = ""
		return nil
	}
	abs, err := filepath.Abs(text)
	*p = pathFlag(abs)
	return err
}

// rateFlag is a rate in requests per second, written as a number or as requests per time: 50, 50/1s, 3000/m.
type rateFlag float64

func (r *rateFlag) String() string { return strconv.FormatFloat(float64(*r), 'g', -1, 64) }

// Type implements pflag.Value.
func (r *rateFlag) Type() string { return "rate" }

// Set implements pflag.Value.
func (r *rateFlag) Set(text string) error {
	number, per, given := strings.Cut(text, "/")
	n, err := strconv.ParseFloat(number, 64)
	every := time.Second
	if err == nil && given {
		if per != "" && (per[0] < '0' || per[0] > '9') {
			per = "1" + per // 50/s
		}
		every, err = time.ParseDuration(per)
	}
	if err != nil || every <= 0 {
		return fmt.Errorf("want requests per second, or requests per time such as 50/1s")
	}
	*r = rateFlag(n / every.Seconds())
	return nil
}

// aboveZero wants the times that were given to be more than 0.
func aboveZero(cmd *cobra.Command, names ...string) error {
	for _, name := range names {
		f := cmd.Flags().Lookup(name)
		if f == nil || !f.Changed {
			continue
		}
		if d, err := time.ParseDuration(f.Value.String()); err == nil && d <= 0 {
			return usagef(cmd, "--%s %s: want more than 0", name, f.Value)
		}
	}
	return nil
}

// useless refuses flags that were given and have no effect, because of why.
func useless(cmd *cobra.Command, why string, names ...string) error {
	for _, name := range names {
		if cmd.Flags().Changed(name) {
			return usagef(cmd, "--%s has no effect %s: leave it out", name, why)
		}
	}
	return nil
}

// onlyOne refuses more than one of the flags.
func onlyOne(cmd *cobra.Command, names ...string) error {
	var given []string
	for _, name := range names {
		if cmd.Flags().Changed(name) {
			given = append(given, "--"+name)
		}
	}
	if len(given) > 1 {
		return usagef(cmd, "%s do not go together: want one of them", strings.Join(given, " and "))
	}
	return nil
}

// usagef is an error of wrong usage.
// bounded is a flag with what it has to be.
type bounded struct {
	flag  string
	value any
	ok    bool
	want  string
}

// wrong says what is wrong with flags, and nothing of the others; nil: all are well.
func wrong(flags ...bounded) error {
	var errs []error
	for _, f := range flags {
		if !f.ok {
			errs = append(errs, fmt.Errorf("--%s %v: want %s", f.flag, f.value, f.want))
		}
	}
	return withCode(exitUsage, errors.Join(errs...))
}

func usagef(cmd *cobra.Command, format string, args ...any) error {
	return withCode(exitUsage, fmt.Errorf(format+" (see '%s --help')", append(args, cmd.CommandPath())...))
}
