//go:build guests && linux

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// nobody runs a program without any privilege.
var nobody = []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--inh-caps=-all"}

// nobodysFolder holds a copy of the binary and of a guest, which nobody may
// change, and a folder of nobody's own.
func nobodysFolder(t *testing.T) (vmconv, guest, own string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test gives up root's privileges, and needs them for that")
	}
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	vmconv, guest, own = filepath.Join(dir, "vmconv"), filepath.Join(dir, "guest.img"), filepath.Join(dir, "own")
	testtool.Run(t, "cp", mustEnv(t, "VMCONV"), vmconv)
	testtool.Run(t, "cp", "--sparse=always", guestImage(t, "mbr"), guest)
	testtool.Run(t, "chmod", "0755", vmconv)
	testtool.Run(t, "chmod", "0444", guest)
	testtool.Run(t, "mkdir", own, own+"/tmp")
	testtool.Run(t, "chown", "-R", "65534:65534", own)
	return vmconv, guest, own
}

// TestGuestUnprivileged runs every command on a real guest as nobody, under
// strace: no other program, no mount, no network, and no file but the image, the
// output, TMPDIR, and what Go's runtime asks the kernel.
func TestGuestUnprivileged(t *testing.T) {
	testtool.Need(t, "setpriv", "strace", "file", "qemu-img")
	vmconv, guest, own := nobodysFolder(t)
	if text := testtool.Run(t, "file", vmconv); !strings.Contains(text, "statically linked") {
		t.Errorf("not one static binary: %s", text)
	}
	mine := own + "/mine.qcow2"
	big := own + "/big"
	for _, args := range [][]string{
		{"convert", guest, "--to", "kvm", "-o", own + "/out.qcow2"},
		{"convert", guest, "--to", "kvm", "--dry-run"},
		{"convert", guest, "-O", "qcow2", "-c", "-o", own + "/packed.qcow2"},
		{"convert", guest, "-O", "qcow2", "-o", mine},
		{"inspect", guest},
		{"inspect", "--json", guest},
		{"info", guest},
		{"cat", guest, "/etc/fstab"},
		{"cat", "-o", own + "/fstab", guest, "/etc/fstab"},
		{"ls", "-lR", guest, "/etc"},
		{"cp", "-r", guest + ":/etc", own},
		{"cp", guest + ":/boot/grub/grub.cfg", own},
		{"edit", mine, "/etc/hosts", "-e", "s/localhost/here/"},
		{"cp", "-r", own + "/etc/apt", mine + ":/srv"},
		{"cp", big, mine + ":/srv"}, // spills into TMPDIR
		{"convert", "--in-place", mine, "--to", "kvm"},
		{"formats"}, {"targets"}, {"version"},
	} {
		if slices.Contains(args, big) {
			testtool.Run(t, "sh", "-c", "head -c 70000000 /dev/urandom > "+big+"; chown 65534 "+big)
		}
		log := filepath.Join(t.TempDir(), "strace")
		line := slices.Concat([]string{"strace", "-f", "-qq", "-o", log, "-e", "trace=" + calls, "-e", "signal=none"}, nobody, []string{vmconv}, args)
		cmd := exec.Command(line[0], line[1:]...)
		cmd.Env = append(os.Environ(), "TMPDIR="+own+"/tmp", "TZ=")
		if r := wait(t, cmd); r.code != 0 {
			t.Fatalf("vmconv %s: exit code %d\n%s", strings.Join(args, " "), r.code, r.stderr)
		}
		checkCalls(t, strings.Join(args, " "), string(readFile(t, log)), vmconv, guest, own)
		if left := leftIn(t, own+"/tmp"); left != "" {
			t.Errorf("vmconv %s: left in TMPDIR: %s", strings.Join(args, " "), left)
		}
	}
	testtool.Run(t, "qemu-img", "check", own+"/out.qcow2")
	testtool.Run(t, "qemu-img", "check", mine)
	wants(t, 7, []string{"convert", guest, "-O", "raw", "-o", own + "/none/out.img"})
}

// calls are the system calls that are looked at.
const calls = "execve,execveat,fork,vfork,mount,umount2,open_tree,fsopen,socket,connect,chroot,ptrace,init_module,finit_module," +
	"open,openat,openat2,creat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,mknod,mknodat,readlink,readlinkat"

// runtimeReads is what Go's runtime asks the kernel about the machine.
var runtimeReads = regexp.MustCompile(`^/sys/kernel/mm/transparent_hugepage/hpage_pmd_size$|^/proc/self/(cgroup|mountinfo)$|^/sys/fs/cgroup/`)

var (
	callLine   = regexp.MustCompile(`^\d+ +(\w+)\((.*)$`)
	quotedPath = regexp.MustCompile(`(?:AT_FDCWD, |^)"((?:[^"\\]|\\.)*)"`)
)

// checkCalls reads what strace wrote about one command.
func checkCalls(t *testing.T, what, log, vmconv, guest, own string) {
	t.Helper()
	began := false // by executing vmconv
	for line := range strings.Lines(log) {
		m := callLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		call, rest := m[1], m[2]
		if call == "execve" && strings.HasPrefix(rest, `"`+vmconv+`"`) && !began {
			began = true
			continue
		}
		if !began {
			continue // setpriv
		}
		paths := quotedPath.FindAllStringSubmatch(rest, -1)
		switch call {
		case "openat", "open", "rename", "renameat", "renameat2", "unlinkat", "mkdirat", "linkat", "symlinkat", "readlinkat", "mknodat":
		case "syscall_0x1c4": // fchmodat2, which strace of Debian 12 does not know
			if !strings.HasPrefix(rest, "0xffffff9c") {
				continue
			}
			fallthrough
		default:
			t.Errorf("vmconv %s: %s", what, line)
			continue
		}
		for _, p := range paths {
			inside := p[1] == guest || p[1] == own || strings.HasPrefix(p[1], own+"/")
			if !inside && !runtimeReads.MatchString(p[1]) && call != "symlinkat" {
				t.Errorf("vmconv %s: a file of somebody else: %s", what, line)
			}
		}
	}
	if !began {
		t.Fatalf("strace did not see vmconv start")
	}
}

// TestGuestSameBytes converts a guest twice, at different times and on another
// number of cores: the outputs agree to the byte, and the source was only read.
func TestGuestSameBytes(t *testing.T) {
	src := guestImage(t, "gpt")
	before := stamp(t, src)
	accessed := accessTime(t, src)
	out := filepath.Join(t.TempDir(), "out.qcow2")
	packed := newDisk(t, "64M", "ext4", system(map[string][]byte{"srv/big": noise(30 << 20), "etc/motd": bytes.Repeat([]byte("hello\n"), 3<<20)}))
	for _, args := range [][]string{{src, "--to", "kvm"}, {packed, "-c"}, {packed, "-c", "--opt", "compression_type=zstd"}} {
		var sums []string
		for _, cores := range []string{"1", "3"} {
			cmd := program(append([]string{"convert", "-o", out, "--overwrite"}, args...)...)
			cmd.Env = append(os.Environ(), "GOMAXPROCS="+cores)
			if r := wait(t, cmd); r.code != 0 {
				t.Fatalf("exit code %d\n%s", r.code, r.stderr)
			}
			sums = append(sums, testtool.Run(t, "sh", "-c", "cd "+filepath.Dir(out)+" && sha256sum *"))
		}
		if sums[0] != sums[1] {
			t.Errorf("%v: the outputs differ:\n%s", args, strings.Join(sums, "\n"))
		}
	}
	if now := accessTime(t, src); now != accessed {
		t.Errorf("the source's access time went from %s to %s", accessed, now)
	}
	if after := stamp(t, src); after != before {
		t.Errorf("the source was changed: %s, then %s", before, after)
	}
}

func accessTime(t *testing.T, path string) string {
	return strings.TrimSpace(testtool.Run(t, "stat", "-c", "%x", path))
}

// TestGuestFullBoot converts a guest whose /boot has no room: exit code 6, no
// output, and in place not one byte changed.
func TestGuestFullBoot(t *testing.T) {
	src := guestImage(t, "fullboot")
	dir := t.TempDir()
	wants(t, 6, []string{"convert", src, "--to", "kvm", "-o", filepath.Join(dir, "out.qcow2")}, "/boot")
	if left := leftIn(t, dir); left != "" {
		t.Errorf("left behind: %s", left)
	}
	for _, format := range []string{"raw", "qcow2"} {
		img := inFormat(t, src, format)
		before := stamp(t, img)
		wants(t, 6, []string{"convert", "--in-place", img, "--to", "kvm"}, "/boot")
		if after := stamp(t, img); after != before {
			t.Errorf("%s: the image changed: %s, then %s", format, before, after)
		}
		alone(t, img)
	}
}
