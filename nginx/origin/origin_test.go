package origin

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trimtab/nginx/instance"
)

// asked connects to a server on network and address, asks it over HTTP, and returns the connection once it answered.
func asked(t *testing.T, network, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return conn
}

// sleeper is a process that has nothing to do with the connection.
func sleeper(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

func TestNGINXIsKnownByItsConnections(t *testing.T) {
	if _, err := exec.LookPath("nginx"); err != nil {
		t.Skip("no nginx on this machine")
	}
	dir := t.TempDir()
	main, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := instance.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	front, socket := fmt.Sprintf("127.0.0.1:%d", ports[0]), filepath.Join(dir, "page.sock")
	conf := main + fmt.Sprintf("worker_processes 2;\nevents {}\nhttp {\n%s    access_log off;\n    server { listen %s; listen [::1]:%d; listen unix:%s; return 200 ok; }\n}\n",
		instance.HTTPPaths(dir), front, ports[0], socket)
	n, err := instance.Start(t.Context(), dir, conf, front)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Stop()
	family := []int{n.PID}
	const workers = 2 // which a busy machine may start a while after the sockets
	for deadline := time.Now().Add(time.Minute); len(family) < 1+workers && time.Now().Before(deadline); {
		list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", n.PID, n.PID))
		if err != nil {
			t.Skip("no list of children in /proc")
		}
		family = family[:1]
		for _, f := range strings.Fields(string(list)) {
			var pid int
			if _, err := fmt.Sscan(f, &pid); err == nil {
				family = append(family, pid)
			}
		}
	}
	other := sleeper(t)
	for _, c := range []struct{ name, network, address string }{
		{"IPv4", "tcp", front},
		{"IPv6", "tcp", fmt.Sprintf("[::1]:%d", ports[0])},
		{"a Unix socket", "unix", socket},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := asked(t, c.network, c.address)
			if got, err := Check(conn, family); got != ByProcess || err != nil {
				t.Errorf("got %v, %v for NGINX's own processes, want by process", got, err)
			}
			if got, err := Check(conn, []int{other}); !errors.Is(err, ErrOther) {
				t.Errorf("got %v, %v for another process, want %v", got, err, ErrOther)
			}
		})
	}
}

func TestConnectionsThatNobodyAccepted(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, err := Check(conn, []int{os.Getpid()}); !errors.Is(err, ErrElsewhere) {
		t.Errorf("got %v, %v before anybody accepted, want %v", got, err, ErrElsewhere)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	if got, err := Check(conn, []int{os.Getpid()}); got != ByProcess || err != nil {
		t.Errorf("got %v, %v, want this process", got, err)
	}
}

func TestFindSocket(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 111 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000    33        0 222 1 0 20 4 30 10 -1
   2: 0100007F:1F90 0100007F:C351 01 00000000:00000000 00:00000000 00000000     0        0 0 1 0 20 4 30 10 -1
   3: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:C352 01 00000000:00000000 00:00000000 00000000  1000        0 333 1 0 20 4 30 10 -1
   4: 00000000000000000000000001000000:1F90 00000000000000000000000001000000:C353 01 00000000:00000000 00:00000000 00000000     7        0 444 1 0 20 4 30 10 -1
   nonsense
   5: zz:1F90 0100007F:C350 01
`
	for _, c := range []struct {
		name, local, remote string
		inode               uint64
		uid                 int
	}{
		{"the accepted socket, not the listening one", "127.0.0.1:8080", "127.0.0.1:50000", 222, 33},
		{"a socket in the queue has no number yet", "127.0.0.1:8080", "127.0.0.1:50001", 0, 0},
		{"an IPv4 address on an IPv6 socket", "127.0.0.1:8080", "127.0.0.1:50002", 333, 1000},
		{"IPv6", "[::1]:8080", "[::1]:50003", 444, 7},
		{"one that is not there", "127.0.0.1:8080", "127.0.0.1:50009", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := findSocket(strings.NewReader(table), netip.MustParseAddrPort(c.local), netip.MustParseAddrPort(c.remote))
			if ok != (c.inode != 0) || got != (socket{c.inode, c.uid}) {
				t.Errorf("got %+v, %v, want %d of user %d", got, ok, c.inode, c.uid)
			}
		})
	}
}

func FuzzFindSocket(f *testing.F) {
	f.Add("   1: 0100007F:1F90 0100007F:C350 01 0:0 0:0 0 33 0 222")
	f.Fuzz(func(t *testing.T, text string) {
		a := netip.MustParseAddrPort("127.0.0.1:8080")
		if got, ok := findSocket(strings.NewReader(text), a, a); ok && got.inode == 0 {
			t.Errorf("%q: got a socket without a number", text)
		}
	})
}
