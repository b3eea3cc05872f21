package helper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"trimtab/nginx"
	"trimtab/nginx/instance"
	"trimtab/trusted"
)

// TestMain is also the worker of the tests: started with sockets, this program does what its environment says.
func TestMain(m *testing.M) {
	in, err := Inherited()
	if errors.Is(err, ErrAlone) {
		goleak.VerifyTestMain(m)
		return
	}
	if err == nil {
		err = work(in)
	}
	if err != nil {
		fmt.Println("worker:", err)
		os.Exit(1)
	}
}

// work sets weights through the helper, tries what it may not do, and reports in words.
func work(in Inheritance) error {
	lacking, err := Confine([]string{in.State}, nil)
	if err != nil {
		return err
	}
	c := NewClient(in.Changes, in.Questions)
	ctx := context.Background()
	look, err := c.Look(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("uid %d\nlacking %v\nupstreams %d\n", os.Geteuid(), lacking, len(look.Upstreams))
	r, err := c.ApplyFrom(ctx, nginx.Settings{"u": {"127.0.0.1:1": {Weight: 7}}}, nil)
	fmt.Printf("changed %t %v\n", r.Changed, err)
	for what, want := range map[string]nginx.Settings{
		"too heavy":      {"u": {"127.0.0.1:1": {Weight: 1000}}},
		"weightless":     {"u": {"127.0.0.1:1": {Weight: 0}}},
		"other upstream": {"other": {"127.0.0.1:1": {Weight: 2}}},
		"other server":   {"u": {"127.0.0.1:3": {Weight: 2}}},
		"nothing":        {},
	} {
		_, err = c.ApplyFrom(ctx, want, nil)
		fmt.Println(what+":", err)
		_, err = c.Order(ctx, want)
		fmt.Println(what+", ordered:", err)
	}
	_, err = c.File("/etc/shadow")
	fmt.Println("file by path:", err)
	text, err := c.File("password")
	fmt.Printf("file by name: %s %v\n", text, err)
	_, err = os.ReadFile(os.Getenv("SECRET"))
	fmt.Println("secret:", err)
	_, err = os.ReadFile(os.Getenv("OPEN"))
	fmt.Println("everybody's file:", err)
	fmt.Println("own file:", os.WriteFile(filepath.Join(in.State, "own"), []byte("x"), 0o600))
	fmt.Println("file elsewhere:", os.WriteFile("/tmp/trimtab-worker-own", []byte("x"), 0o600))
	fmt.Println("program:", syscall.Exec("/bin/true", []string{"true"}, nil))
	fmt.Println("signal:", syscall.Kill(os.Getppid(), 0))
	fmt.Println("another user:", syscall.Setuid(0))
	return nil
}

// bed is a real NGINX with the upstream u, which may be changed, and other, which may not.
func bed(t *testing.T) *instance.Instance {
	t.Helper()
	i, _ := frontBed(t)
	return i
}

// frontBed is a bed and the address on which it answers.
func frontBed(t *testing.T) (*instance.Instance, string) {
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
	i, err := instance.Start(t.Context(), dir, main+fmt.Sprintf("worker_processes 1;\nevents {}\nhttp {\n%s    "+
		"access_log off;\n"+
		"    upstream u { server 127.0.0.1:1; server 127.0.0.1:2; }\n    upstream other { server 127.0.0.1:1; server "+
		"127.0.0.1:2; }\n"+
		"    server { listen %s; location / { proxy_pass http://u; } location /o { proxy_pass http://other; } }\n}\n",
		instance.HTTPPaths(dir), front), front)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Stop)
	return i, front
}

func rootOf(i *instance.Instance) *Root {
	return &Root{Reloads: true, Applier: &nginx.Applier{Config: i.Config, StateDir: filepath.Join(i.Dir, "state",
		"nginx"), Binary: i.Binary,
		Prefix: i.Dir, PIDFile: i.PIDFile(), Budget: &nginx.Budget{}}}
}

func TestWorkerOfAnotherUserChangesWeights(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can start a worker as another user")
	}
	i := bed(t)
	dir := t.TempDir()
	state, err := trusted.GiveFolder(filepath.Join(dir, "worker"), nobody, nobody)
	if err != nil {
		t.Fatal(err)
	}
	secret, open := filepath.Join(dir, "secret"), filepath.Join("/etc", "hostname")
	if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command("/proc/self/exe")
	cmd.Stdout, cmd.Stderr, cmd.Dir = &out, &out, "/"
	cmd.Env = []string{"SECRET=" + secret, "OPEN=" + open}
	changes, questions, err := Start(cmd, As{UID: nobody, GID: nobody, State: state})
	state.Close()
	if err != nil {
		t.Fatal(err)
	}
	root := rootOf(i)
	root.Upstreams = []string{"u"}
	s := &Server{Settings: Settings{Root: root, Files: map[string]File{"password": {Path: secret, Read: os.ReadFile}}}}
	if err := s.Serve(t.Context(), changes, questions); err != nil {
		t.Errorf("serve: got %v", err)
	}
	changes.Close()
	questions.Close()
	if err := Wait(t.Context(), cmd, time.Minute); err != nil {
		t.Errorf("worker: got %v", err)
	}
	for _, want := range []string{
		"uid 65534\n", "lacking []\n", "upstreams 2\n", "changed true <nil>\n", "too heavy: refused: ", "want 1 to 100",
		"too heavy, ordered: refused: ", "weightless: refused: ", "weightless, ordered: refused: ",
		"other server: refused: ",
		"other server, ordered: refused: ", "nothing: refused: ", "nothing, ordered: refused: ",
		`other upstream: refused: upstream "other" is not one that may be changed`,
		`other upstream, ordered: refused: upstream "other" is not one that may be changed`,
		`file by path: refused: the configuration names no file "/etc/shadow"`, "file by name: x <nil>\n",
		"secret: open " + secret + ": permission denied", "everybody's file: open " + open + ": permission denied",
		"own file: <nil>\n", "file elsewhere: open /tmp/trimtab-worker-own: permission denied",
		"program: operation not permitted", "signal: operation not permitted", "another user: operation not permitted",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("want %q", want)
		}
	}
	if t.Failed() {
		t.Logf("the worker said\n%s", &out)
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

const nobody = 65534

// sockets is a connected pair.
func sockets(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]net.Conn
	for i, fd := range pair {
		f := os.NewFile(uintptr(fd), "pair")
		if conns[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
		t.Cleanup(func() { conns[i].Close() })
	}
	return conns[0], conns[1]
}

// joined is a client and a server in one process; done has what Serve returned.
func joined(t *testing.T, s *Server) (c *Client, done <-chan error) {
	t.Helper()
	changes, theirChanges := sockets(t)
	questions, theirQuestions := sockets(t)
	ended := make(chan error, 1)
	go func() {
		ended <- s.Serve(context.WithoutCancel(t.Context()), theirChanges, theirQuestions)
		close(ended)
		theirChanges.Close()
		theirQuestions.Close()
	}()
	c = NewClient(changes, questions)
	t.Cleanup(func() {
		c.Close()
		if done != nil {
			<-done
		}
	})
	done = ended
	return c, ended
}

func TestHelperAsksTheWorkerForThePage(t *testing.T) {
	i := bed(t)
	asked := 0
	c, _ := joined(t, &Server{Settings: Settings{Root: rootOf(i), AskStatus: true}})
	c.Answer(func(context.Context) (nginx.Status, error) {
		asked++
		return nginx.Status{}, errors.New("the page is on fire")
	}, nil)
	_, err := c.ApplyFrom(t.Context(), nginx.Settings{"u": {"127.0.0.1:1": {Weight: 3}}}, nginx.Settings{})
	if !errors.Is(err, nginx.ErrStatus) || !strings.Contains(err.Error(), "on fire") || asked != 1 {
		t.Errorf("got %v after %d questions, want %v with the worker's words", err, asked, nginx.ErrStatus)
	}
	look, err := c.Look(t.Context())
	if err != nil || len(look.Upstreams) != 2 || look.Upstreams[0].Servers[1].Server != "127.0.0.1:2" ||
		look.Upstreams[0].Untunable != "" {
		t.Errorf("got %+v, %v, want two upstreams", look, err)
	}
	standing, err := c.Standing(t.Context(), false)
	tick := time.NewTicker(10 * time.Millisecond) // a worker has its title a moment after it has been started
	defer tick.Stop()
	for try := 0; try < 500 && err == nil && standing.Load.Workers == 0; try++ {
		<-tick.C
		standing, err = c.Standing(t.Context(), false)
	}
	if err != nil || standing.Held != "" || standing.Hold != "" || standing.Load.Workers != 1 {
		t.Errorf("got %+v, %v, want one worker and nothing that holds", standing, err)
	}
}

func TestNamesThatAreNotUTF8PassTheSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte("http {\nupstream w\xff { server 10.0.0.1; server "+
		"unix:/run/a\\xfe.sock; }\n}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	root := &Root{Applier: &nginx.Applier{Config: path, StateDir: filepath.Join(dir, "state", "nginx"),
		NoReload: true, Binary: "/bin/true", Prefix: dir}}
	client, _ := joined(t, &Server{Settings: Settings{Root: root}})
	look, err := client.Look(t.Context())
	if err != nil || look.Upstreams[0].Name != "w\xff" {
		t.Fatalf("got %+v, %v", look, err)
	}
	server := look.Upstreams[0].Servers[1].Label
	r, err := client.ApplyFrom(t.Context(), nginx.Settings{"w\xff": {server: {Weight: 4}}}, nil)
	if err != nil || r.Weights["w\xff"][server].Weight != 4 {
		t.Errorf("got %+v, %v, want weight 4", r, err)
	}
}

func TestWorkerThatIsSilentLosesTheHelper(t *testing.T) {
	i := bed(t)
	changes, theirChanges := sockets(t)
	_, theirQuestions := sockets(t)
	done := make(chan error, 1)
	s := &Server{Settings: Settings{Root: rootOf(i), AskStatus: true}, Patience: 50 * time.Millisecond}
	go func() { done <- s.Serve(context.WithoutCancel(t.Context()), theirChanges, theirQuestions) }()
	if err := writeFrame(changes, request{Op: opApply,
		Want: nginx.Settings{"u": {"127.0.0.1:1": {Weight: 3}}}}); err != nil {
		t.Fatal(err)
	}
	var r reply
	if err := readFrame(changes, &r); err != nil || !r.AskStatus {
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
