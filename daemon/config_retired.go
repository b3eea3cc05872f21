package daemon

import "fmt"

// retired are keys of earlier versions that have no effect any more: a configuration that sets them still works.
var retired = map[string]bool{
	"tuner.min_requests": true,
	"tuner.burst_window": true,
	"tuner.explore":      true,
	"tuner.gamma":        true,
}

// retiredWarning says that a key is set in vain; place is where.
func retiredWarning(place, key string) string {
	return fmt.Sprintf("%s: %s has no effect any more: remove it", place, key)
}

// Warnings are what the configuration sets in vain, one line each, in the order of the file.
func (c *Config) Warnings() []string { return c.warnings }
