package helper

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"trimtab/nginx"
)

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
		{"a socket that is announced and does not come", frame(`{"op":"answers","socket":true}`)},
		{"an object cut off", frame(`{"op":"look"`)},
		{"a frame cut off", frame(`{"op":"look"}`)[:9]},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for name, conns := range map[string][2]net.Conn{"changes": {wired(c.in), &idle{}}, "questions": {&idle{},
				wired(c.in)}} {
				s := &Server{Settings: Settings{Root: &Root{Applier: &nginx.Applier{StateDir: "/nonexistent"}}}}
				if err := s.Serve(t.Context(), conns[0], conns[1]); err == nil {
					t.Errorf("%s: got no error, want the helper to end", name)
				}
			}
		})
	}
}

// wired is a connection that delivers bytes and takes any.
func wired(in []byte) net.Conn { return &fakeConn{in: bytes.NewReader(in)} }

// idle is a connection on which nothing comes until somebody wants to read no longer.
type idle struct {
	fakeConn
	once sync.Once
	over chan struct{}
}

func (c *idle) init() { c.once.Do(func() { c.over = make(chan struct{}) }) }

func (c *idle) Read([]byte) (int, error) {
	c.init()
	<-c.over
	return 0, os.ErrDeadlineExceeded
}

func (c *idle) SetReadDeadline(at time.Time) error {
	c.init()
	select {
	case <-c.over:
	default:
		if !at.IsZero() {
			close(c.over)
		}
	}
	return nil
}

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

// FuzzServe: whatever a worker sends, the helper neither panics nor touches a file that is not the configuration's, and
// no weight outside 1 to 100 or of another upstream gets into it.
func FuzzServe(f *testing.F) {
	for _, text := range []string{`{"op":"look"}`, `{"op":"standing"}`, `{"op":"settings"}`,
		`{"op":"file","key":"../../etc/shadow"}`,
		`{"op":"notify","state":"READY=1\nMAINPID=1"}`, `{"op":"loaded","load_msec":1}`, `{"op":"listen"}`,
		`{"op":"adopt"}`, `{"op":"scale","units":{"a":2}}`, `{"op":"units"}`, `{"op":"release"}`,
		`{"op":"admit","blocked":{"u":0.5},"offered_per_s":{"u":10}}`, `{"op":"test"}`,
		`{"op":"order","want":{"u":{"10.0.0.1:80":{"Weight":5}}}}`,
		`{"op":"order","want":{"v":{"10.0.0.3:80":{"Weight":7}}}}`, `{"op":"recover"}`,
		`{"op":"apply","want":{"u":{"10.0.0.1:80":{"Weight":7}}}}`,
		`{"op":"apply","want":{"v":{"10.0.0.3:80":{"Weight":7}}}}`,
		`{"op":"apply","want":{"u":{"10.0.0.1:80":{"Weight":-1,"Down":true}}},"from":{},"has_from":true}`} {
		f.Add(frame(text), false)
		f.Add(frame(text), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, change bool) {
		dir := t.TempDir()
		path := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(path, []byte("http {\nupstream u { server 10.0.0.1; server 10.0.0.2; }\nupstream v { "+
			"server 10.0.0.3; server 10.0.0.4; }\n}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		s := &Server{Settings: Settings{Root: &Root{Upstreams: []string{"u"}, Applier: &nginx.Applier{Config: path,
			StateDir: filepath.Join(dir, "state"),
			NoReload: true, Binary: "/bin/true", Prefix: dir}}}, Notify: func(state string) {
			if strings.Contains(state, "MAINPID") || strings.Contains(state, "FDSTORE") {
				t.Fatalf("systemd is told %q", state)
			}
		}}
		conns := [2]net.Conn{wired(in), &idle{}}
		if !change {
			conns[0], conns[1] = conns[1], conns[0]
		}
		_ = s.Serve(t.Context(), conns[0], conns[1])
		cfg, err := nginx.ReadConfig(path)
		if err != nil || len(cfg.Upstreams) != 2 {
			t.Fatalf("the configuration is broken: %v", err)
		}
		for _, u := range cfg.Upstreams {
			for _, p := range u.Peers {
				if p.Weight < 1 || p.Weight > nginx.MaxWeight || u.Name == "v" && (p.Weight != 1 || p.Down) {
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
