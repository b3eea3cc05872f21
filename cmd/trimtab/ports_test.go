package main

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"trimtab/daemon"
	"trimtab/nginx/dns"
)

// Every loopback address that is a default stands in the table of addresses.
func TestDefaultAddressesAreInTheTable(t *testing.T) {
	text, err := os.ReadFile("../../docs/reference/ports.md")
	if err != nil {
		t.Fatal(err)
	}
	address := regexp.MustCompile(`127\.0\.0\.1:[1-9]\d*|/run/trimtab/\S+`)
	found := map[string]string{dns.DefaultListen: "nginx/dns", address.FindString(daemon.Defaults().Listen): "listen"}
	eachCommand(newRoot(&env{stdout: io.Discard, stderr: io.Discard}), func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			for _, a := range address.FindAllString(f.DefValue, -1) {
				found[a] = cmd.CommandPath() + " --" + f.Name
			}
		})
	})
	if len(found) < 5 {
		t.Fatalf("got %v, want the addresses of all commands", found)
	}
	for a, where := range found {
		if !strings.Contains(string(text), "`"+a+"`") {
			t.Errorf("docs/reference/ports.md has no %s, the default of %s", a, where)
		}
	}
}
