package scaling

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Hook is how the operator changes the capacity of a server.
type Hook interface {
	// Set has the server have so many units. It returns when that is done, or an error.
	Set(ctx context.Context, server string, units int) error
	// Get says how many the server has now; ErrBlind: it cannot.
	Get(ctx context.Context, server string) (int, error)
}

// ErrBlind is returned by a hook that cannot say how many units a server has.
var ErrBlind = errors.New("the hook does not say how many units a server has")

// Command runs a program. Change is called with the server and the units as its last two arguments, Ask with the
// server; they stand in TRIMTAB_SERVER and TRIMTAB_UNITS too. Ask prints a number. Whatever else it is told of
// Trimtab's environment are PATH and HOME.
type Command struct {
	Change []string // program and first arguments
	Ask    []string // nil: it cannot say
}

// mostOutput bounds what is read of a hook.
const mostOutput = 64 << 10

// endGrace is how long a program that was killed may take to end.
const endGrace = time.Second

// Set implements Hook.
func (c Command) Set(ctx context.Context, server string, units int) error {
	_, err := run(ctx, c.Change, []string{server, strconv.Itoa(units)}, server, strconv.Itoa(units))
	return err
}

// Get implements Hook.
func (c Command) Get(ctx context.Context, server string) (int, error) {
	if len(c.Ask) == 0 {
		return 0, ErrBlind
	}
	out, err := run(ctx, c.Ask, []string{server}, server, "")
	if err != nil {
		return 0, err
	}
	return number(out)
}

// number reads the units that a hook says.
func number(text string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < 0 {
		return 0, fmt.Errorf("the hook says %q: want a number of units", clip(text))
	}
	return n, nil
}

func clip(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	return text[:min(len(text), 200)]
}

func run(ctx context.Context, program, args []string, server, units string) (string, error) {
	if len(program) == 0 {
		return "", errors.New("run hook: no program")
	}
	cmd := exec.CommandContext(ctx, program[0], append(append([]string{}, program[1:]...), args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TRIMTAB_SERVER=" + server,
		"TRIMTAB_UNITS=" + units}
	// What hangs is ended with all that it has started.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = endGrace
	var out, fault limited
	cmd.Stdout, cmd.Stderr = &out, &fault
	err := cmd.Run()
	name := filepath.Base(program[0])
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("run hook %s: it hangs: ended after its timeout", name)
	case err != nil && fault.Len() > 0:
		return "", fmt.Errorf("run hook %s: %w: %s", name, err, clip(fault.String()))
	case err != nil:
		return "", fmt.Errorf("run hook %s: %w", name, err)
	}
	return out.String(), nil
}

// limited keeps the first mostOutput bytes.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	l.Buffer.Write(p[:min(len(p), max(mostOutput-l.Len(), 0))])
	return len(p), nil
}

// HTTP calls a URL, in which {server} stands for the server. Set sends {"server":…,"units":n} by Method; any status
// from 200 to 299 is success. Get asks GetURL and reads a number, or the member Field of a JSON object.
type HTTP struct {
	URL    string
	Method string // PUT or POST; empty means PUT
	Field  string // member of the object that is sent and read; empty means units
	GetURL string // empty: it cannot say
	// Token is sent as Authorization: Bearer; empty: none is.
	Token  string
	Client *http.Client // nil: one that follows no redirect and knows no proxy
}

// Check reports what is wrong with the call.
func (h HTTP) Check() error {
	for _, text := range []string{h.URL, h.GetURL} {
		if text == "" && text == h.GetURL {
			continue
		}
		u, err := url.Parse(strings.ReplaceAll(text, "{server}", "s"))
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("hook %q: want http://… or https://…", text)
		}
	}
	if h.Method != "" && h.Method != http.MethodPut && h.Method != http.MethodPost {
		return fmt.Errorf("method %q: want PUT or POST", h.Method)
	}
	return nil
}

func (h HTTP) field() string {
	if h.Field != "" {
		return h.Field
	}
	return "units"
}

// Set implements Hook.
func (h HTTP) Set(ctx context.Context, server string, units int) error {
	body, err := json.Marshal(map[string]any{"server": server, h.field(): units})
	if err != nil {
		return fmt.Errorf("call hook: %w", err)
	}
	method := h.Method
	if method == "" {
		method = http.MethodPut
	}
	_, err = h.call(ctx, method, h.URL, server, body)
	return err
}

// Get implements Hook.
func (h HTTP) Get(ctx context.Context, server string) (int, error) {
	if h.GetURL == "" {
		return 0, ErrBlind
	}
	text, err := h.call(ctx, http.MethodGet, h.GetURL, server, nil)
	if err != nil {
		return 0, err
	}
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &object) == nil {
		text = string(object[h.field()])
	}
	return number(text)
}

func (h HTTP) call(ctx context.Context, method, where, server string, body []byte) (string, error) {
	where = strings.ReplaceAll(where, "{server}", url.PathEscape(server))
	req, err := http.NewRequestWithContext(ctx, method, where, bytes.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("call hook: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if h.Token != "" {
		req.Header.Set("Authorization", "Bearer "+h.Token)
	}
	client := h.Client
	if client == nil {
		client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	resp, err := client.Do(req)
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("call hook %s: it hangs: given up after its timeout", req.URL.Host)
	case err != nil:
		return "", fmt.Errorf("call hook: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, mostOutput))
	if ctx.Err() != nil {
		return "", fmt.Errorf("call hook %s: it hangs: given up after its timeout", req.URL.Host)
	}
	if err == nil && (resp.StatusCode < 200 || resp.StatusCode > 299) {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, clip(string(text)))
	}
	if err != nil {
		return "", fmt.Errorf("call hook %s: %w", req.URL.Host, err)
	}
	return string(text), nil
}
