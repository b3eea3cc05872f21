package helper

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Numbers that systemd gives to services that have no user of their own: nobody logs in with one, and no file is
// theirs.
const (
	firstNumber = 61184
	lastNumber  = 65519
)

// Account finds as whom the worker runs: the user of this name, or with the number that it is. Where the name is the
// default's and there is no such user, it is a number that nobody has, the same for the same seed.
func Account(name, fallback, seed string) (uid, gid uint32, err error) {
	u, err := user.Lookup(name)
	if unknown := user.UnknownUserError(""); errors.As(err, &unknown) {
		if n, bad := strconv.ParseUint(name, 10, 32); bad == nil {
			uid, gid, err = uint32(n), uint32(n), nil
		} else if name == fallback {
			uid, err = unusedNumber(seed)
			gid = uid
		} else {
			return 0, 0, fmt.Errorf("user %q: there is none: useradd --system --no-create-home --shell "+
				"/usr/sbin/nologin %s", name, name)
		}
	} else if err == nil {
		var n, g uint64
		n, err = strconv.ParseUint(u.Uid, 10, 32)
		if err == nil {
			g, err = strconv.ParseUint(u.Gid, 10, 32)
		}
		uid, gid = uint32(n), uint32(g)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("user %q: %w", name, err)
	}
	if uid == 0 || gid == 0 {
		return 0, 0, fmt.Errorf("user %q is root's, or in its group: the worker is to have other rights; "+
			"--single-process runs without one", name)
	}
	return uid, gid, nil
}

// unusedNumber is a number of systemd's that no user, no group, no process and no service of systemd's has.
func unusedNumber(seed string) (uint32, error) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(seed))
	busy, err := processUsers()
	if err != nil {
		return 0, err
	}
	const count = lastNumber - firstNumber + 1
	for i := range uint32(count) {
		n := firstNumber + (h.Sum32()+i)%count
		text := strconv.Itoa(int(n))
		if _, err := user.LookupId(text); err == nil || busy[n] {
			continue
		}
		if _, err := user.LookupGroupId(text); err == nil {
			continue
		}
		if _, err := os.Lstat("/run/systemd/dynamic-uid/" + text); err == nil {
			continue
		}
		return n, nil
	}
	return 0, errors.New("every number for services is taken: name a user")
}

// processUsers are the users that processes run as.
func processUsers() (map[uint32]bool, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	users := map[uint32]bool{}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		if info, err := e.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				users[st.Uid] = true
			}
		}
	}
	return users, nil
}
