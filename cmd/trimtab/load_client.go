package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/net/http/httpguts"

	"trimtab/loadgen"
)

// loadClient says how requests are sent.
type loadClient struct {
	headers                []string
	insecure               bool
	rootCA, cert, key      string
	timeout                time.Duration
	connections, redirects int
	keepAlive              bool
	maxBody                int64
}

func (c *loadClient) add(fl *pflag.FlagSet) {
	fl.StringArrayVar(&c.headers, "header", nil, `header field added to every request, such as "Authorization: Bearer …" (repeatable)`)
	fl.BoolVar(&c.insecure, "insecure", false, "accept any TLS certificate")
	fl.StringVar(&c.rootCA, "root-ca", "", "file of PEM certificates to trust instead of the system's")
	fl.StringVar(&c.cert, "cert", "", "file with the client's PEM certificate")
	fl.StringVar(&c.key, "key", "", "file with the key of --cert")
	fl.DurationVar(&c.timeout, "timeout", 30*time.Second, "from the start of a request to its complete answer; 0: none")
	fl.IntVar(&c.connections, "connections", 0, "most connections per workload (default: as many as requests are in flight)")
	fl.BoolVar(&c.keepAlive, "keep-alive", true, "use connections more than once")
	fl.IntVar(&c.redirects, "redirects", 0, "how many redirects to follow")
	fl.Int64Var(&c.maxBody, "max-body", 64<<20, "longest body of an answer, in bytes; a longer one is a failure; -1: no limit")
}

func (c *loadClient) config() (loadgen.ClientConfig, error) {
	cfg := loadgen.ClientConfig{Timeout: c.timeout, Connections: c.connections, NoKeepAlive: !c.keepAlive, Redirects: c.redirects, MaxBody: c.maxBody}
	if c.timeout <= 0 {
		if c.timeout < 0 {
			return cfg, withCode(exitUsage, fmt.Errorf("--timeout %s: want at least 0", c.timeout))
		}
		cfg.Timeout = -1
	}
	var err error
	if cfg.Header, err = header(c.headers); err != nil {
		return cfg, err
	}
	cfg.TLS, err = c.tls()
	return cfg, err
}

func (c *loadClient) tls() (*tls.Config, error) {
	cfg := &tls.Config{InsecureSkipVerify: c.insecure, MinVersion: tls.VersionTLS12}
	if c.rootCA != "" {
		pem, err := os.ReadFile(c.rootCA)
		if err != nil {
			return nil, withCode(exitConfig, fmt.Errorf("--root-ca: want a file of PEM certificates: %w", err))
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, withCode(exitConfig, fmt.Errorf("%s: no PEM certificate in it", c.rootCA))
		}
	}
	if (c.cert == "") != (c.key == "") {
		return nil, withCode(exitUsage, errors.New("--cert and --key: want both or neither"))
	}
	if c.cert != "" {
		pair, err := tls.LoadX509KeyPair(c.cert, c.key)
		if err != nil {
			return nil, withCode(exitConfig, fmt.Errorf("load certificate: %w", err))
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// headerLine parses "Name: value".
func headerLine(line string) (name, value string, err error) {
	name, value, ok := strings.Cut(line, ":")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
		return "", "", errors.New(`want "Name: value"`)
	}
	return name, value, nil
}
