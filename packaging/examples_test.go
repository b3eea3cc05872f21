package main

import (
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// compose is as much of a compose file as is checked.
type compose struct {
	Name     string             `yaml:"name"`
	Services map[string]service `yaml:"services"`
	Configs  map[string]struct {
		Content string `yaml:"content"`
	} `yaml:"configs"`
	Volumes map[string]any `yaml:"volumes"`
}

type service struct {
	Image       string `yaml:"image"`
	Build       any    `yaml:"build"`
	NetworkMode string `yaml:"network_mode"`
	ReadOnly    bool   `yaml:"read_only"`
	CapDrop     []string
	DependsOn   any      `yaml:"depends_on"`
	Volumes     []string `yaml:"volumes"`
	Configs     []struct{ Source, Target string }
	Command     []string
}

func TestTheComposeFileNamesWhatIsThere(t *testing.T) {
	text, err := os.ReadFile("examples/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var c compose
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"nginx", "trimtab", "load", "a", "b", "c"} {
		if _, ok := c.Services[want]; !ok {
			t.Errorf("there is no service %s", want)
		}
	}
	for name, s := range c.Services {
		if s.Image == "" && s.Build == nil {
			t.Errorf("%s has neither an image nor a build", name)
		}
		for _, used := range s.Configs {
			if c.Configs[used.Source].Content == "" || !strings.HasPrefix(used.Target, "/") {
				t.Errorf("%s: config %s for %q is not there", name, used.Source, used.Target)
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if _, ok := c.Volumes[from]; !ok && !strings.HasPrefix(from, ".") && !strings.HasPrefix(from, "$") {
				t.Errorf("%s: volume %s is not there", name, from)
			}
		}
		for _, other := range dependencies(s.DependsOn) {
			if _, ok := c.Services[other]; !ok {
				t.Errorf("%s depends on %s, which is not there", name, other)
			}
		}
		if other, ok := strings.CutPrefix(s.NetworkMode, "service:"); ok {
			if _, ok := c.Services[other]; !ok {
				t.Errorf("%s shares the network of %s, which is not there", name, other)
			}
		}
	}
	if s := c.Services["trimtab"]; !s.ReadOnly {
		t.Error("the daemon's root is not read-only")
	}
}

func dependencies(v any) (out []string) {
	switch v := v.(type) {
	case []any:
		for _, name := range v {
			out = append(out, name.(string))
		}
	case map[string]any:
		for name := range v {
			out = append(out, name)
		}
	}
	return out
}

func TestTheSidecarMayDoNothingButItsWork(t *testing.T) {
	text, err := os.ReadFile("examples/kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	type container struct {
		Name            string
		SecurityContext struct {
			RunAsNonRoot             bool `yaml:"runAsNonRoot"`
			ReadOnlyRootFilesystem   bool `yaml:"readOnlyRootFilesystem"`
			AllowPrivilegeEscalation *bool
		} `yaml:"securityContext"`
		VolumeMounts []struct{ Name string } `yaml:"volumeMounts"`
	}
	type object struct {
		Kind string
		Data map[string]string
		Spec struct {
			Template struct {
				Spec struct {
					Containers []container
					Volumes    []struct{ Name string }
				}
			}
		}
	}
	objects := yaml.NewDecoder(strings.NewReader(string(text)))
	var config, deployment object
	if err := objects.Decode(&config); err != nil {
		t.Fatal(err)
	}
	if err := objects.Decode(&deployment); err != nil {
		t.Fatal(err)
	}
	if config.Kind != "ConfigMap" || config.Data["nginx.conf"] == "" || config.Data["trimtab.toml"] == "" {
		t.Errorf("got %s with %d files, want the two configurations", config.Kind, len(config.Data))
	}
	spec := deployment.Spec.Template.Spec
	volumes := map[string]bool{}
	for _, v := range spec.Volumes {
		volumes[v.Name] = true
	}
	seen := false
	for _, c := range spec.Containers {
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] {
				t.Errorf("%s mounts %s, which is not there", c.Name, m.Name)
			}
		}
		if c.Name == "trimtab" {
			seen = true
			if !c.SecurityContext.RunAsNonRoot || !c.SecurityContext.ReadOnlyRootFilesystem {
				t.Errorf("got %+v, want no root and a read-only file system", c.SecurityContext)
			}
		}
	}
	if !seen {
		t.Error("there is no sidecar")
	}
}
