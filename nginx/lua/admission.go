package lua

import (
	"fmt"
	"path/filepath"
	"strings"
)

// AdmissionPath is the path of the call that sets which share of the requests is refused.
const AdmissionPath = "/trimtab/admission"

// AdmissionSnippet is the file that every location includes which passes requests to an upstream of Live.Admission. It
// holds the location's access_by_lua; one that has its own runs AdmissionLua in it.
func (l Live) AdmissionSnippet(upstream string) string {
	return filepath.Join(l.Dir, "admission-"+upstream+".conf")
}

// AdmissionLua is the statement that the access phase of such a location runs.
func AdmissionLua(upstream string) string {
	return fmt.Sprintf(`package.loaded["trimtab.admit"].access(%s)`, quote(upstream))
}

// admission adds the files of admission control.
func (l Live) admission(files map[string]string) error {
	if len(l.Admission) == 0 {
		return nil
	}
	text, err := liveFiles.ReadFile("admit.lua")
	if err != nil {
		return err
	}
	files[filepath.Join(l.Dir, "admit.lua")] = string(text)
	for _, name := range l.Admission {
		if strings.ContainsRune(name, '/') {
			return fmt.Errorf("admission: upstream %q: a name with a slash cannot be part of a file's", name)
		}
		files[l.AdmissionSnippet(name)] = fmt.Sprintf("# Written by trimtab nginx live install. Belongs into every "+
			"location that passes requests to upstream %s.\n"+
			"access_by_lua_block { %s }\n", name, AdmissionLua(name))
	}
	return nil
}

// admissionHooks adds the statements that the Lua hooks have to run.
func (l Live) admissionHooks(hooks map[string][]string) {
	if len(l.Admission) == 0 {
		return
	}
	names := make([]string, len(l.Admission))
	for i, name := range l.Admission {
		names[i] = quote(name)
	}
	hooks["init_by_lua_block"] = append(hooks["init_by_lua_block"], fmt.Sprintf(
		`package.loaded["trimtab.admit"] = dofile(%s).init{ dict = "trimtab_admission", upstreams = { %s }, `+
			`tools = package.loaded["trimtab.live"].tools, live = package.loaded["trimtab.live"] }`,
		quote(filepath.Join(l.Dir, "admit.lua")),
		strings.Join(names, ", ")))
	hooks["init_worker_by_lua_block"] = append(hooks["init_worker_by_lua_block"],
		`package.loaded["trimtab.admit"].start()`)
}

// admissionKiB is far more than three short values of some hundred upstreams need.
const admissionKiB = 256

func (l Live) admissionDict() string {
	if len(l.Admission) == 0 {
		return ""
	}
	return fmt.Sprintf("lua_shared_dict trimtab_admission %dk;\n", admissionKiB)
}

func (l Live) admissionLocation() string {
	if len(l.Admission) == 0 {
		return ""
	}
	return fmt.Sprintf("    location = %s { content_by_lua_block { package.loaded[\"trimtab.admit\"].control() } }\n",
		AdmissionPath)
}
