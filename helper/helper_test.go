package helper

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trimtab/nginx"
	"trimtab/nginx/instance"
)

// TestMain is also the worker of the tests: started with a socket, this program does what its environment says.
func TestMain(m *testing.M) {
	conn, err := Inherited()
	if errors.Is(err, ErrAlone) {
		os.Exit(m.Run())
	}
	if err == nil {
		err = work(conn)
	}
	if err != nil {
		fmt.Println("worker:", err)
		os.Exit(1)
	}
}

// work sets weights through the helper, tries what it may not do, and reports in words.
func work(conn net.Conn) error {
	if err := Confine(nil, []string{"/usr", "/lib", "/proc"}); err != nil {
		return err
	}
	asked := 0
	c := NewClient(conn, func(context.Context) (nginx.Status, error) { asked++; return nginx.Status{}, errors.New("no page") })
	ctx := context.Background()
	look, err := c.Look(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("uid %d\nupstreams %d\n", os.Geteuid(), len(look.Upstreams))
	first := look.Upstreams[0].Servers[0].Server
	r, err := c.ApplyFrom(ctx, nginx.Settings{look.Upstreams[0].Name: {first: {Weight: 7}}}, nil)
	fmt.Printf("changed %t %v\n", r.Changed, err)
	_, err = c.ApplyFrom(ctx, nginx.Settings{look.Upstreams[0].Name: {first: {Weight: 1000}}}, nil)
	fmt.Println("too heavy:", err)
	_, err = c.ApplyFrom(ctx, nginx.Settings{"other": {first: {Weight: 2}}}, nil)
	fmt.Println("other upstream:", err)
	_, err = os.ReadFile(os.Getenv("SECRET"))
	fmt.Println("secret:", err)
	_, err = os.ReadFile("/etc/hostname")
	fmt.Println("hostname:", err)
	return nil
}

// bed is a real NGINX with the upstream u, which may be changed, and other, which may not.
func bed(t *testing.T) *instance.Instance {
	t.Helper()
	dir := t.TempDir()
	main, err := instance.Prepare(dir)
	if errors.Is(err, instance.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	ports, err := instance.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	front := fmt.Sprintf("127.0.0.1:%d", ports[0])
	i, err := instance.Start(t.Context(), dir, main+fmt.Sprintf("worker_processes 1;\nevents {}\nhttp {\n%s    access_log off;\n"+
		"    upstream u { server 127.0.0.1:1; server 127.0.0.1:2; }\n    upstream other { server 127.0.0.1:1; server 127.0.0.1:2; }\n"+
		"    server { listen %s; location / { proxy_pass http://u; } location /o { proxy_pass http://other; } }\n}\n", instance.HTTPPaths(dir), front), front)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Stop)
	return i
}

func applier(i *instance.Instance) *nginx.Applier {
	return &nginx.Applier{Config: i.Config, StateDir: filepath.Join(i.Dir, "state"), Binary: i.Binary, Prefix: i.Dir, PIDFile: i.PIDFile(), Budget: &nginx.Budget{}}
}

func TestWorkerOfAnotherUserChangesWeights(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can start a worker as another user")
	}
	i := bed(t)
	dir, err := os.MkdirTemp("/tmp", "trimtab-worker-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program, secret := filepath.Join(dir, "worker"), filepath.Join(dir, "secret")
	if err := errors.Join(os.WriteFile(program, self, 0o755), os.WriteFile(secret, []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	const nobody = 65534
	var out bytes.Buffer
	cmd := exec.Command(program)
	cmd.Stdout, cmd.Stderr, cmd.Dir = &out, &out, "/"
	cmd.Env = []string{"SECRET=" + secret}
	conn, err := Start(t.Context(), cmd, nobody, nobody)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Applier: applier(i), Upstreams: []string{"u"}}
	if err := s.Serve(t.Context(), conn); err != nil {
		t.Errorf("serve: got %v", err)
	}
	if err := Stop(conn, cmd); err != nil {
		t.Errorf("worker: got %v", err)
	}
	for _, want := range []string{
		"uid 65534\n", "upstreams 1\n", "changed true <nil>\n", "too heavy: refused: ", "want 1 to 100",
		`other upstream: refused: upstream "other" is not one that may be changed`, "secret: open " + secret + ": permission denied",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the worker said\n%s\nwant %q in it", &out, want)
		}
	}
	cfg, err := nginx.ReadConfig(i.Config)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range cfg.Upstreams {
		if want := map[string]int{"u": 7, "other": 1}[u.Name]; u.Peers[0].Weight != want {
			t.Errorf("upstream %s: got weight %d, want %d", u.Name, u.Peers[0].Weight, want)
		}
	}
}

// joined is a client and a server in one process; done has what Serve returned.
func joined(t *testing.T, s *Server, status nginx.StatusFunc) (*Client, net.Conn, <-chan error) {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- s.Serve(t.Context(), theirs); theirs.Close() }()
	c := NewClient(ours, status)
	t.Cleanup(func() { c.Close() })
	return c, ours, done
}

func TestHelperAsksTheWorkerForThePage(t *testing.T) {
	i := bed(t)
	asked := 0
	c, _, _ := joined(t, &Server{Applier: applier(i), AskStatus: true}, func(context.Context) (nginx.Status, error) {
		asked++
		return nginx.Status{}, errors.New("the page is on fire")
	})
	_, err := c.ApplyFrom(t.Context(), nginx.Settings{"u": {"127.0.0.1:1": {Weight: 3}}}, nginx.Settings{})
	if !errors.Is(err, nginx.ErrStatus) || !strings.Contains(err.Error(), "on fire") || asked != 1 {
		t.Errorf("got %v after %d questions, want %v with the worker's words", err, asked, nginx.ErrStatus)
	}
	if look, err := c.Look(t.Context()); err != nil || len(look.Upstreams) != 2 || look.Master != i.PID || look.Held != "" {
		t.Errorf("got %+v, %v, want two upstreams of master %d and nothing that holds", look, err, i.PID)
	}
}

func TestWorkerThatIsSilentLosesTheHelper(t *testing.T) {
	i := bed(t)
	ours, theirs := net.Pipe()
	defer ours.Close()
	done := make(chan error, 1)
	s := &Server{Applier: applier(i), AskStatus: true, Patience: 50 * time.Millisecond}
	go func() { done <- s.Serve(t.Context(), theirs) }()
	if err := writeFrame(ours, request{Op: opApply, Want: nginx.Settings{"u": {"127.0.0.1:1": {Weight: 3}}}}); err != nil {
		t.Fatal(err)
	}
	var r reply
	if err := readFrame(ours, &r); err != nil || !r.AskStatus {
		t.Fatalf("got %+v, %v, want a question", r, err)
	}
	select {
	case err := <-done:
		if err == nil {
			t.Error("got no error, want that the worker did not answer")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the helper still waits for the worker")
	}
	if text, err := os.ReadFile(i.Config); err != nil || strings.Contains(string(text), "weight=") {
		t.Errorf("got %s, %v: the configuration was changed", text, err)
	}
}

func TestFailuresKeepTheirMeaning(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		err  error
	}{
		{"a refusal with a time", &nginx.Refusal{Reason: "later", RetryAfter: time.Minute}},
		{"a change taken back", &nginx.RollbackError{Cause: errors.New("why")}},
		{"one that could not be", &nginx.RollbackError{Cause: errors.New("why"), Restore: errors.New("disk")}},
		{"the status page", fmt.Errorf("%w: gone", nginx.ErrStatus)},
		{"anything else", errors.New("x")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := failureOf(c.err).err()
			if got.Error() != c.err.Error() || errors.Is(got, nginx.ErrStatus) != errors.Is(c.err, nginx.ErrStatus) ||
				fmt.Sprintf("%T", got) != fmt.Sprintf("%T", c.err) && !errors.Is(c.err, nginx.ErrStatus) {
				t.Errorf("got %T %v, want %T %v", got, got, c.err, c.err)
			}
		})
	}
	if failureOf(nil).err() != nil {
		t.Error("got an error from none")
	}
}

func frame(text string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

func TestFramesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		in   []byte
	}{
		{"a length of 0", frame("")},
		{"a length above the most", binary.BigEndian.AppendUint32(nil, MaxFrame+1)},
		{"no JSON", frame("apply")},
		{"an unknown key", frame(`{"op":"look","path":"/etc/shadow"}`)},
		{"an unknown operation", frame(`{"op":"exec"}`)},
		{"two objects", frame(`{"op":"look"}{"op":"look"}`)},
		{"an object cut off", frame(`{"op":"look"`)},
		{"a frame cut off", frame(`{"op":"look"}`)[:9]},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &Server{Applier: &nginx.Applier{Config: "/nonexistent", StateDir: "/nonexistent"}}
			if err := s.Serve(t.Context(), wire(c.in)); err == nil {
				t.Error("got no error, want the helper to end")
			}
		})
	}
}

// wire is a connection that delivers bytes and takes any.
func wire(in []byte) net.Conn { return &fakeConn{in: bytes.NewReader(in)} }

type fakeConn struct {
	net.Conn
	in  io.Reader
	out bytes.Buffer
}

func (c *fakeConn) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *fakeConn) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *fakeConn) Close() error                     { return nil }
func (c *fakeConn) SetReadDeadline(time.Time) error  { return nil }
func (c *fakeConn) SetWriteDeadline(time.Time) error { return nil }

// FuzzServe: whatever a worker sends, the helper neither panics nor touches a file that is not the configuration's, and no
// weight outside 1 to 100 or of another upstream gets into it.
func FuzzServe(f *testing.F) {
	for _, text := range []string{`{"op":"look"}`, `{"op":"recover"}`, `{"op":"apply","want":{"u":{"10.0.0.1:80":{"Weight":7}}}}`,
		`{"op":"apply","want":{"v":{"10.0.0.3:80":{"Weight":7}}}}`, `{"op":"apply","want":{"u":{"10.0.0.1:80":{"Weight":-1,"Down":true}}},"from":{},"has_from":true}`} {
		f.Add(frame(text))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(path, []byte("http {\nupstream u { server 10.0.0.1; server 10.0.0.2; }\nupstream v { server 10.0.0.3; server 10.0.0.4; }\n}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		s := &Server{Upstreams: []string{"u"}, Applier: &nginx.Applier{Config: path, StateDir: filepath.Join(dir, "state"), NoReload: true, Binary: "/bin/true", Prefix: dir}}
		_ = s.Serve(t.Context(), wire(in))
		cfg, err := nginx.ReadConfig(path)
		if err != nil || len(cfg.Upstreams) != 2 {
			t.Fatalf("the configuration is broken: %v", err)
		}
		for _, u := range cfg.Upstreams {
			for _, p := range u.Peers {
				if p.Weight < 1 || p.Weight > nginx.MaxWeight || p.Down || u.Name == "v" && p.Weight != 1 {
					t.Fatalf("upstream %s: server %s has %d, down %t", u.Name, p.Label(), p.Weight, p.Down)
				}
			}
		}
		names, err := os.ReadDir(dir)
		if err != nil || len(names) > 2 {
			t.Fatalf("got %v, %v in the folder, want the configuration and the state", names, err)
		}
	})
}

// FuzzFrame: what is sent is what arrives, and what arrives otherwise is refused without much memory.
func FuzzFrame(f *testing.F) {
	f.Add([]byte(`{"op":"apply","want":{"u":{"a":{"Weight":1}}}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		var req request
		if readFrame(bytes.NewReader(in), &req) != nil {
			return
		}
		var b bytes.Buffer
		if err := writeFrame(&b, req); err != nil {
			t.Fatal(err)
		}
		var again request
		if err := readFrame(&b, &again); err != nil {
			t.Fatal(err)
		}
		x, _ := json.Marshal(req)
		y, _ := json.Marshal(again)
		if !bytes.Equal(x, y) {
			t.Errorf("got %s, want %s", y, x)
		}
	})
}
