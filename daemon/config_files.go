package daemon

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"trimtab/cluster"
	"trimtab/helper"
	"trimtab/trusted"
)

// DefaultUser is as whom the part of the daemon runs that reads the network.
const DefaultUser = "trimtab"

// What the files are called that a configuration names, in Config.Files.
const (
	passwordFile = "password"
	caFile       = "ca"
	modelFile    = "model"
	learnerFile  = "learner" // what trimtab arena train left
	tokenFile    = "token"
	hookFile     = "hook" // with the token of the scaling hook
	pageFile     = "page" // with the token of the page's buttons
	fleetCA      = "fleet-ca"
	fleetCert    = "fleet-cert"
	fleetKey     = "fleet-key"
	membersFile  = "members-" // and which of [[actuator.members]]
)

// Files are those that the configuration names, and how each is read: secrets may not be the whole world's.
func (c *Config) Files() map[string]helper.File {
	files := map[string]helper.File{}
	add := func(key, path string, read func(string) ([]byte, error)) {
		if path != "" {
			files[key] = helper.File{Path: path, Read: read}
		}
	}
	add(passwordFile, c.Status.PasswordFile, trusted.Secret)
	add(pageFile, c.PageTokenFile, trusted.Secret)
	add(caFile, c.Status.CA, os.ReadFile)
	add(modelFile, c.Regimes.Model, os.ReadFile)
	add(learnerFile, c.Tuner.Model, os.ReadFile)
	add(tokenFile, c.Actuator.TokenFile, trusted.Secret)
	add(hookFile, c.Scaling.TokenFile, trusted.Secret)
	if c.inFleet() {
		add(fleetCA, c.Fleet.CA, os.ReadFile)
		add(fleetCert, c.Fleet.Cert, os.ReadFile)
		add(fleetKey, c.Fleet.Key, trusted.Secret)
	}
	for i, m := range c.Actuator.Members {
		add(membersFile+strconv.Itoa(i), m.File, os.ReadFile)
	}
	return files
}

// file reads one of Files.
func (c *Config) file(key string) ([]byte, error) {
	if c.files != nil {
		return c.files(key)
	}
	f, ok := c.Files()[key]
	if !ok {
		return nil, fmt.Errorf("the configuration names no file %q", key)
	}
	return f.Read(f.Path)
}

func (c *Config) readModel() (*cluster.Model, error) {
	text, err := c.file(modelFile)
	if err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	m, err := cluster.ReadModel(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Regimes.Model, err)
	}
	return m, nil
}

// workerDir is the folder in the state folder that belongs to the worker's user.
const workerDir = "worker"

// dataDir is the folder of what is learned and ordered: that of the worker, once there is one, else the state folder
// itself.
func (c *Config) dataDir() string {
	if c.data != "" {
		return c.data
	}
	dir := filepath.Join(c.StateDir, workerDir)
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return dir
	}
	return c.StateDir
}
