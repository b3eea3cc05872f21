package daemon

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestEveryConfigurationOfNGINXHasAStateFolderOfItsOwn(t *testing.T) {
	seen := map[string]string{}
	for _, config := range []string{DefaultNginxConfig, "/etc/nginx-internal/nginx.conf", "/opt/a/nginx/nginx.conf",
		"/opt/b/nginx/nginx.conf",
		"/etc/nginx/other.conf", "/proc/*/root/etc/nginx/nginx.conf"} {
		dir := StateDirFor(config)
		if other, twice := seen[dir]; twice {
			t.Errorf("%s and %s have the same folder %s", config, other, dir)
		}
		seen[dir] = config
		if dir != StateDirFor(config) || !strings.HasPrefix(dir, "/var/lib/trimtab") || dir != filepath.Clean(dir) {
			t.Errorf("%s: got %s", config, dir)
		}
	}
	if got := StateDirFor(DefaultNginxConfig); got != Defaults().StateDir {
		t.Errorf("the usual configuration: got %s, want the default", got)
	}
	c, err := ParseConfig("trimtab.toml", "[nginx]\nconfig = \"/opt/a/nginx/nginx.conf\"\n")
	if err != nil || c.StateDir != StateDirFor("/opt/a/nginx/nginx.conf") {
		t.Errorf("without state_dir: got %+v, %v", c, err)
	}
	c, err = ParseConfig("trimtab.toml", "state_dir = \"/srv/t\"\n[nginx]\nconfig = \"/opt/a/nginx/nginx.conf\"\n")
	if err != nil || c.StateDir != "/srv/t" {
		t.Errorf("with state_dir: got %+v, %v", c, err)
	}
}
