package guest

import (
	"strings"
)

// fstabEntry is one line of fstab(5), escapes undone.
type fstabEntry struct {
	line                      int // from 1
	spec, path, kind, options string
}

// maxFstab bounds the entries that are looked at: no guest has so many mounts.
const maxFstab = 10_000

// parseFstab reads the entries that name a filesystem to mount or swap to use.
// Lines with fewer than two words are left out, as mount(8) leaves them.
func parseFstab(text []byte) []fstabEntry {
	var out []fstabEntry
	number := 0
	for line := range strings.SplitSeq(string(text), "\n") {
		number++
		if len(out) == maxFstab {
			break
		}
		words := strings.Fields(line)
		if len(words) < 2 || words[0][0] == '#' {
			continue
		}
		e := fstabEntry{line: number, spec: unquote(unoctal(words[0])), path: unoctal(words[1]), kind: "auto", options: "defaults"}
		if len(words) > 2 {
			e.kind = words[2]
		}
		if len(words) > 3 {
			e.options = words[3]
		}
		out = append(out, e)
	}
	return out
}

// unoctal undoes the escapes of blanks and backslashes: three octal digits.
func unoctal(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && octal(s[i+1]) && octal(s[i+2]) && octal(s[i+3]) && s[i+1] < '4' {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func octal(c byte) bool { return c >= '0' && c <= '7' }

// unquote takes the quotes off the value of a tag: LABEL="data disk".
func unquote(spec string) string {
	key, value, ok := strings.Cut(spec, "=")
	if !ok || len(value) < 2 || value[0] != value[len(value)-1] || value[0] != '"' && value[0] != '\'' {
		return spec
	}
	return key + "=" + value[1:len(value)-1]
}

// virtual are the types that lie on no disk of the guest.
var virtual = map[string]bool{
	"tmpfs": true, "proc": true, "sysfs": true, "devpts": true, "devtmpfs": true, "cgroup": true, "cgroup2": true,
	"debugfs": true, "tracefs": true, "configfs": true, "securityfs": true, "hugetlbfs": true, "mqueue": true,
	"ramfs": true, "usbfs": true, "binfmt_misc": true, "autofs": true, "efivarfs": true, "pstore": true, "xenfs": true,
	"nfs": true, "nfs4": true, "cifs": true, "smbfs": true, "smb3": true, "9p": true, "virtiofs": true, "ceph": true,
	"glusterfs": true, "overlay": true, "aufs": true, "bind": true, "none": true, "swapfile": true, "ocfs2_dlmfs": true,
}

// onDisk reports whether the entry is about a filesystem or swap on a disk.
func (e fstabEntry) onDisk() bool {
	if virtual[e.kind] || strings.HasPrefix(e.kind, "fuse") && e.kind != "fuseblk" {
		return false
	}
	if !strings.HasPrefix(e.spec, "/dev/") && !isTag(e.spec) {
		return false
	}
	for _, device := range []string{"/dev/fd", "/dev/cd", "/dev/sr", "/dev/scd", "/dev/floppy", "/dev/dvd", "/dev/iso9660/", "/dev/loop"} {
		if strings.HasPrefix(e.spec, device) {
			return false
		}
	}
	for _, option := range strings.Split(e.options, ",") {
		if option == "bind" || option == "rbind" {
			return false
		}
	}
	return e.kind == "swap" || mountable(e.path)
}

func (e fstabEntry) swap() bool { return e.kind == "swap" }

// mountable leaves out where the system itself mounts, and removable media.
func mountable(path string) bool {
	for _, p := range []string{"/dev", "/proc", "/sys", "/selinux", "/media"} {
		if path == p && p != "/media" || strings.HasPrefix(path, p+"/") {
			return false
		}
	}
	return strings.HasPrefix(path, "/")
}

func isTag(spec string) bool {
	key, _, ok := strings.Cut(spec, "=")
	return ok && (key == "UUID" || key == "LABEL" || key == "PARTUUID" || key == "PARTLABEL" || key == "ID")
}
