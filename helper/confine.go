package helper

import (
	"fmt"
	"maps"
	"slices"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

// read are the files that a process of Go's reads which asks for pages over HTTP: names, authorities, its own figures.
var (
	readFolders = []string{"/proc", "/sys/fs/cgroup", "/etc/ssl", "/etc/pki", "/usr/share/ca-certificates",
		"/usr/local/share/ca-certificates",
		"/usr/share/zoneinfo"}
	readFiles = []string{"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/services", "/etc/gai.conf",
		"/etc/localtime",
		"/etc/protocols", "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"}
)

// forbidden are the system calls that a process has no use for which talks, computes and writes into one folder:
// starting programs, becoming somebody else, looking into or stopping other processes, mounting, keys, kernel.
var forbidden = []string{
	"execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd",
	"pidfd_send_signal", "kcmp",
	"kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo",
	"setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups", "capset",
	"chown", "fchown", "lchown", "fchownat", "mknod", "mknodat",
	"mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsmount", "fsconfig", "fspick",
	"mount_setattr",
	"unshare", "setns", "name_to_handle_at", "open_by_handle_at", "quotactl", "swapon", "swapoff", "acct", "reboot",
	"sethostname", "setdomainname", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex",
	"init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "bpf", "perf_event_open",
	"userfaultfd",
	"add_key", "request_key", "keyctl", "io_uring_setup", "io_uring_enter", "io_uring_register", "personality",
	"syslog",
	"vhangup", "fanotify_init", "lookup_dcookie", "migrate_pages", "move_pages", "mbind", "set_mempolicy",
	"memfd_secret",
}

// Confine has this process give up what it does not need, for good: gaining rights and starting programs, and, where
// the kernel has Landlock, all files but those below the folders given and the few that Go itself reads. What a kernel
// lacks is passed over and said in lacking.
func Confine(readWrite, readOnly []string) (lacking []string, err error) {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("confine: no core of what was learned and of secrets: %w", err)
	}
	if err := landlock.V1.RestrictPaths(landlock.RWDirs(readWrite...), landlock.RODirs("/")); err != nil {
		lacking = append(lacking, fmt.Sprintf("landlock: %v", err))
	} else if err := landlock.V6.BestEffort().RestrictPaths(
		landlock.RWDirs(readWrite...),
		landlock.RODirs(append(readOnly, readFolders...)...).IgnoreIfMissing(),
		landlock.ROFiles(readFiles...).IgnoreIfMissing(),
	); err != nil {
		return lacking, fmt.Errorf("confine: landlock: %w", err)
	}
	if !seccomp.Supported() {
		return append(lacking, "seccomp"), nil
	}
	native, err := arch.GetInfo("")
	if err != nil {
		return append(lacking, "seccomp: "+err.Error()), nil //nolint:nilerr // it is said
	}
	// All that are known by name but for the forbidden ones: so calls of another architecture's table are refused too.
	allowed := slices.DeleteFunc(slices.Sorted(maps.Keys(native.SyscallNames)),
		func(name string) bool { return slices.Contains(forbidden, name) })
	filter := seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: seccomp.Policy{
		DefaultAction: seccomp.ActionErrno,
		Syscalls:      []seccomp.SyscallGroup{{Action: seccomp.ActionAllow, Names: allowed}},
	}}
	if err := seccomp.LoadFilter(filter); err != nil {
		return lacking, fmt.Errorf("confine: seccomp: %w", err)
	}
	return lacking, nil
}
