package daemon

import (
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// retired are keys of earlier versions that have no effect any more: a configuration that sets them still works.
var retired = map[string]bool{
	"tuner.min_requests":   true,
	"tuner.burst_window":   true,
	"tuner.explore":        true,
	"tuner.gamma":          true,
	"objective.miss_price": true,
}

// renamed are keys that had another name in earlier versions, which still counts: two tables each had a burst, two an
// interval, and nginx.upstreams stood beside [[upstream]].
var renamed = map[string]string{
	"tuner.burst":       "tuner.change_burst",
	"actuator.burst":    "actuator.reload_burst",
	"actuator.every":    "actuator.reload_every",
	"actuator.interval": "actuator.reload_interval",
	"nginx.upstreams":   "nginx.only",
}

// retiredWarning says that a key is set in vain; place is where.
func retiredWarning(place, key string) string {
	return fmt.Sprintf("%s: %s has no effect any more: remove it", place, key)
}

// Warnings are what the configuration sets in vain or by an old name, one line each, in the order of the file.
func (c *Config) Warnings() []string { return c.warnings }

// takeRenamed sets what stands under old names, gives the new keys the lines of the old ones, and returns the names
// found. meta is what was decoded of text.
func (c *Config) takeRenamed(path, text string, meta toml.MetaData, at configLines) (found []string, errs []error) {
	var all map[string]any
	for _, key := range meta.Undecoded() {
		old := key.String()
		now, ok := renamed[old]
		if !ok {
			continue
		}
		found = append(found, old)
		if meta.IsDefined(strings.Split(now, ".")...) {
			errs = append(errs, fmt.Errorf("%s: both %s and %s, which is its new name: remove it", at.place(path, old),
				old, now))
			continue
		}
		at.set(now, at[old])
		c.warnings = append(c.warnings, fmt.Sprintf("%s: %s is now called %s", at.place(path, old), old, now))
		if all == nil {
			if _, err := toml.Decode(text, &all); err != nil {
				continue // which decodeAll has said
			}
		}
		if err := c.setValue(now, valueAt(all, old)); err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", at.place(path, old), old, err))
		}
	}
	return found, errs
}

// valueAt is the value of a key with its table.
func valueAt(all map[string]any, key string) any {
	table, name, _ := strings.Cut(key, ".")
	inner, _ := all[table].(map[string]any)
	return inner[name]
}

// setValue sets a key to a value as TOML has it.
func (c *Config) setValue(key string, value any) error {
	words := strings.Split(key, ".")
	for _, w := range slices.Backward(words) {
		value = map[string]any{w: value}
	}
	text, err := toml.Marshal(value)
	if err != nil {
		return err
	}
	if _, err := toml.Decode(string(text), c); err != nil {
		if m := tomlType.FindStringSubmatch(err.Error()); m != nil {
			return fmt.Errorf("%s", typeText(m[3]))
		}
		return err
	}
	return nil
}
