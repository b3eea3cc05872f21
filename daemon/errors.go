package daemon

// ConfigError says that the daemon cannot run as it is configured: a file that it is to read or write, a folder that is
// another daemon's, an address that is taken. Other errors of the package are those of what it calls:
// control.ErrTelemetry, and what nginx.Applier returns.
type ConfigError struct{ Err error }

func (e *ConfigError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *ConfigError) Unwrap() error { return e.Err }
