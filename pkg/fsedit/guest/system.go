package guest

import (
	"encoding/binary"
	"strings"
)

// readSystem fills in what is not in the name of the distribution.
func readSystem(v View, limit int64, o *OS) {
	o.Arch = userlandArch(v)
	o.Hostname = hostname(v, limit)
	o.MachineID = firstLine(v, "/etc/machine-id", limit)
	if o.MachineID == "" {
		o.MachineID = firstLine(v, "/var/lib/dbus/machine-id", limit)
	}
	o.Init = initSystem(v)
	o.PackageFormat, o.PackageManager = packaging(v)
}

func firstLine(v View, p string, limit int64) string {
	text, err := ReadFile(v, p, limit)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line)
}

func hostname(v View, limit int64) string {
	for _, p := range []string{"/etc/hostname", "/etc/HOSTNAME"} {
		if name := firstLine(v, p, limit); name != "" && name[0] != '#' {
			return name
		}
	}
	for _, p := range []string{"/etc/sysconfig/network", "/etc/conf.d/hostname"} {
		text, err := ReadFile(v, p, limit)
		if err != nil {
			continue
		}
		vars := parseShellVars(text)
		for _, key := range []string{"HOSTNAME", "hostname"} {
			if vars[key] != "" {
				return vars[key]
			}
		}
	}
	return ""
}

// inits by the program that /sbin/init leads to.
var inits = []struct{ path, name string }{
	{"/usr/lib/systemd/systemd", "systemd"}, {"/lib/systemd/systemd", "systemd"}, {"/bin/systemd", "systemd"},
	{"/sbin/openrc-init", "openrc"}, {"/sbin/openrc", "openrc"}, {"/usr/bin/runit-init", "runit"}, {"/sbin/runit-init", "runit"},
	{"/usr/sbin/s6-svscan", "s6"},
}

func initSystem(v View) string {
	real, err := v.Realpath("/sbin/init")
	if err == nil && strings.HasSuffix(real, "/systemd") {
		return "systemd"
	}
	if strings.HasSuffix(real, "/busybox") && IsFile(v, "/etc/inittab") && !Exists(v, "/sbin/openrc") {
		return "busybox"
	}
	switch {
	case strings.HasSuffix(real, "runit-init"):
		return "runit"
	case Exists(v, "/sbin/openrc"):
		return "openrc"
	case Exists(v, "/sbin/initctl") && IsDir(v, "/etc/init") && !IsFile(v, "/etc/inittab"):
		return "upstart"
	case IsFile(v, "/etc/inittab") && Exists(v, "/sbin/init"):
		return "sysv"
	}
	for _, i := range inits {
		if IsFile(v, i.path) {
			return i.name
		}
	}
	return ""
}

// packagers by what is installed, whatever the distribution calls itself.
var packagers = []struct{ database, format string }{
	{"/var/lib/dpkg/status", "deb"}, {"/usr/lib/sysimage/rpm", "rpm"}, {"/var/lib/rpm", "rpm"},
	{"/lib/apk/db/installed", "apk"}, {"/usr/lib/apk/db/installed", "apk"}, {"/var/lib/pacman/local", "pacman"},
	{"/var/db/pkg", "ebuild"}, {"/var/db/xbps", "xbps"}, {"/var/lib/pkgtools", "pkgtool"},
}

var managers = map[string][]string{
	"deb": {"apt-get", "apt"}, "rpm": {"dnf", "zypper", "yum", "tdnf", "urpmi", "up2date"}, "apk": {"apk"}, "pacman": {"pacman"},
	"ebuild": {"emerge"}, "xbps": {"xbps-install"}, "pkgtool": {"slackpkg"},
}

func packaging(v View) (format, manager string) {
	for _, p := range packagers {
		if Exists(v, p.database) {
			format = p.format
			break
		}
	}
	for _, name := range managers[format] {
		for _, dir := range []string{"/usr/bin/", "/bin/", "/usr/sbin/", "/sbin/"} {
			if Exists(v, dir+name) {
				return format, strings.TrimSuffix(name, "-get")
			}
		}
	}
	return format, ""
}

// userlandArch is the architecture of a program that every system has.
func userlandArch(v View) string {
	for _, p := range []string{"/bin/bash", "/bin/ls", "/bin/echo", "/bin/rm", "/bin/sh", "/sbin/init"} {
		if arch := elfArch(v, p); arch != "" {
			return arch
		}
	}
	return ""
}

// machines of the ELF specification's e_machine, as uname(1) calls them.
var machines = map[uint16]string{
	3: "i386", 62: "x86_64", 183: "aarch64", 40: "arm", 20: "ppc", 22: "s390x", 258: "loongarch64", 50: "ia64", 8: "mips", 2: "sparc", 43: "sparc64",
}

// elfArch reads the header of an ELF file; empty when it is none.
func elfArch(v View, p string) string {
	dev, err := v.Open(p)
	if err != nil || dev.Size() < 20 {
		return ""
	}
	var h [20]byte
	if n, _ := dev.ReadAt(h[:], 0); n < len(h) {
		return ""
	}
	return elfMachine(h[:])
}

func elfMachine(h []byte) string {
	if len(h) < 20 || string(h[:4]) != "\x7fELF" {
		return ""
	}
	var order binary.ByteOrder = binary.LittleEndian
	if h[5] == 2 {
		order = binary.BigEndian
	}
	wide := h[4] == 2
	switch m := order.Uint16(h[18:]); {
	case m == 21 && h[5] == 1:
		return "ppc64le"
	case m == 21:
		return "ppc64"
	case m == 243 && wide:
		return "riscv64"
	case m == 243:
		return "riscv32"
	case m == 22 && !wide:
		return "s390"
	default:
		return machines[m]
	}
}
