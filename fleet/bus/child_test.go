package bus

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trimtab/control"
	"trimtab/weights"
)

// childVariable makes the test's program a centre: the process of a server and a station, as trimtab fleet is.
const childVariable = "TRIMTAB_TEST_CENTRE"

// childConfig is what such a process is told.
type childConfig struct {
	Name, Listen, Cluster, Store, Keys, Want string
	Routes                                   []string
	Replicas                                 int
	Tuned                                    bool          // the tuner plans
	Interval                                 time.Duration // 0: tick
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		if err := centreProcess(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// its clock
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushStreamStateLoop"))
}

func centreProcess(text string) error {
	var c childConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	keys := Keys{c.Keys}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	s, err := StartServer(ServerConfig{Name: c.Name, Listen: c.Listen, Store: c.Store, Keys: keys,
		ClusterListen: c.Cluster, Routes: c.Routes, Logger: log})
	if err != nil {
		return err
	}
	id, err := keys.Identity("centre")
	if err != nil {
		return err
	}
	st, err := NewStation(StationConfig{Servers: []string{s.URL()}, Identity: id, ID: c.Name,
		Interval: cmp.Or(c.Interval, tick), Replicas: c.Replicas, Logger: log,
		NewPolicy: func() (control.Policy, error) {
			if c.Tuned {
				return newTunedOf(c.Want)
			}
			return &filed{path: c.Want}, nil
		}})
	if err != nil {
		return err
	}
	fmt.Println(s.URL())
	var all sync.WaitGroup
	all.Go(func() { _ = s.Run(ctx) })
	err = st.Run(ctx)
	all.Wait()
	return err
}

// filed is a central policy that wants the settings in a file.
type filed struct {
	fixed
	path string
}

func (f *filed) Choose() control.Decision {
	var want weights.Set
	if text, err := os.ReadFile(f.path); err == nil && json.Unmarshal(text, &want) == nil {
		f.set(want)
	}
	return f.fixed.Choose()
}

// PlanFor makes it a teacher.
func (f *filed) PlanFor(float64) weights.Set {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.want
}

// process is a centre in a process of its own.
type process struct {
	b   *bed
	cfg childConfig
	cmd *exec.Cmd
	url string
	log string
}

// want has all centres of the bed want the settings.
func (b *bed) want(w weights.Set) {
	b.t.Helper()
	text, err := json.Marshal(w)
	if err == nil {
		err = os.WriteFile(b.wantPath()+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(b.wantPath()+".new", b.wantPath())
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) wantPath() string { return filepath.Join(b.dir, "want.json") }

// process starts a centre; change may say what is different.
func (b *bed) process(change ...func(*childConfig)) *process {
	b.t.Helper()
	p := &process{b: b, cfg: childConfig{Name: "centre", Listen: address(b.t), Store: filepath.Join(b.dir, "store"),
		Keys: b.keys.Dir, Want: b.wantPath(),
		Replicas: 1}}
	for _, f := range change {
		f(&p.cfg)
	}
	p.log = filepath.Join(b.dir, p.cfg.Name+".log")
	b.t.Cleanup(func() {
		p.kill()
		if b.t.Failed() {
			text, _ := os.ReadFile(p.log)
			b.t.Logf("%s:\n%s", p.cfg.Name, text)
		}
	})
	p.start()
	if b.url == "" {
		b.url = p.url
	}
	return p
}

// start starts the process, again at the same address.
func (p *process) start() {
	p.b.t.Helper()
	if err := p.launch(); err != nil {
		p.b.t.Fatal(err)
	}
}

func (p *process) launch() error {
	text, err := json.Marshal(p.cfg)
	if err != nil {
		return err
	}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	log, err := os.OpenFile(p.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd.Stderr = log
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return fmt.Errorf("the centre does not start: %w", err)
	}
	p.url = strings.TrimSpace(line)
	return nil
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	if p.cmd != nil && p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait() // killed
	}
}

// address is one that is free now.
func address(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "127.0.0.1:" + strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// status is what the fleet says of itself; the zero one while nobody answers.
func (b *bed) status(urls ...string) Status {
	if len(urls) == 0 {
		urls = []string{b.url}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	st, err := ReadStatus(ctx, urls, b.identity("view"))
	if err != nil {
		return Status{}
	}
	return st
}

func (st *Status) node(name string) NodeLine {
	for _, n := range st.Nodes {
		if n.Node == name {
			return n
		}
	}
	return NodeLine{}
}

// requests are those per second of the group of the tests.
func (st *Status) requests() float64 { return st.Rates["u"] }
