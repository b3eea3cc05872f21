package nginx

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// strangersHold reports whether everybody who holds a lock (flock) on the open file is a user who has no business with
// it: neither root, nor this process's user, nor the file's owner. Any user who may read a folder can lock it, and so
// keep Trimtab from ever changing anything; such a lock is passed over.
func strangersHold(f *os.File) bool {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return false
	}
	table, err := os.Open("/proc/locks")
	if err != nil {
		return false
	}
	defer table.Close()
	holders := flockHolders(table, unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	for _, pid := range holders {
		info, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
		if err != nil {
			return false
		}
		var owner unix.Stat_t
		if unix.Stat(fmt.Sprintf("/proc/%d", pid), &owner) != nil || !info.IsDir() {
			return false
		}
		if owner.Uid == 0 || int(owner.Uid) == os.Geteuid() || owner.Uid == st.Uid {
			return false
		}
	}
	return len(holders) > 0
}

// flockHolders lists the processes that hold a flock on the file with these numbers, from the text of /proc/locks:
// "1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF"; a line with "->" is one that waits.
func flockHolders(table io.Reader, major, minor uint32, ino uint64) (pids []int) {
	want := fmt.Sprintf("%02x:%02x:%d", major, minor, ino)
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 8 || fields[1] != "FLOCK" || fields[5] != want {
			continue
		}
		if pid, err := strconv.Atoi(fields[4]); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
