package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
)

// DefaultNginxConfig is the configuration of most machines.
const DefaultNginxConfig = "/etc/nginx/nginx.conf"

// StateDirFor is the state folder for a configuration of NGINX: that of the usual one, or one of its own, so that two
// NGINX on a machine never are in each other's way.
func StateDirFor(config string) string {
	const base = "/var/lib/trimtab"
	abs, err := filepath.Abs(config)
	if err != nil || abs == DefaultNginxConfig {
		return base
	}
	sum := sha256.Sum256([]byte(abs))
	return filepath.Join(base, "of-"+filepath.Base(filepath.Dir(abs))+"-"+hex.EncodeToString(sum[:4]))
}
