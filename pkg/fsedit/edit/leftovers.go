package edit

import (
	"context"
	"regexp"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

// leftovers neutralises what the source's configuration has against the target:
// modules that must not be loaded, and mounts of what only Xen has.
type leftovers struct{}

func (leftovers) Name() string                { return "leftovers" }
func (leftovers) Applies(f *guest.Facts) bool { return f.OS.Type == "linux" }

func (e leftovers) Plan(ctx context.Context, s *Staged, job Job) error {
	if err := e.modprobe(s, job); err != nil {
		return err
	}
	if err := e.xenfs(s, job); err != nil {
		return err
	}
	return ctx.Err()
}

// modprobe.d(5): /etc is the owner's, and edited; /lib is the packages'.
func (e leftovers) modprobe(s *Staged, job Job) error {
	why := Reason{Edit: e.Name(), Text: "drivers of the target may be loaded", Required: true}
	files := []string{"/etc/modprobe.conf"}
	for _, name := range fileNames(s, "/etc/modprobe.d") {
		files = append(files, "/etc/modprobe.d/"+name)
	}
	for _, p := range files {
		if err := s.rewrite(p, job, why, func(text []byte) []byte { return allow(text, job.Needs) }); err != nil {
			return err
		}
	}
	for _, dir := range []string{"/usr/lib/modprobe.d", "/lib/modprobe.d"} {
		for _, name := range fileNames(s, dir) {
			text, err := guest.ReadFile(s, join(dir, name), job.Limits.OrDefault().Text)
			if err != nil {
				return err
			}
			if string(allow(text, job.Needs)) != string(text) {
				s.Warn(e.Name(), "%s/%s forbids a driver of the target; a file of a package is not changed", dir, name)
			}
		}
	}
	return nil
}

// forbids is a line that keeps modprobe from loading a module: a blacklist, or
// an install command that does nothing.
var forbids = regexp.MustCompile(`^\s*(?:blacklist\s+(\S+)|install\s+(\S+)\s+/(?:usr/)?bin/(?:true|false)\b.*)\s*$`)

// allow comments out the lines that forbid a driver of the target.
func allow(text []byte, needs Needs) []byte {
	return eachLine(text, func(_ int, line string) string {
		m := forbids.FindStringSubmatch(line)
		if m == nil || !needs.wants(m[1]+m[2]) {
			return line
		}
		return "#" + line
	})
}

// wants reports whether a module, by any spelling, is a driver of the target.
func (n Needs) wants(module string) bool {
	module = canonical(module)
	for _, d := range n.Drivers {
		if d.Module == module {
			return true
		}
	}
	return n.NICDriver != "" && n.NICDriver == module
}

// canonical is the name of a module as the kernel spells it.
func canonical(module string) string { return strings.ReplaceAll(module, "-", "_") }

// xenfs exists under Xen only; systemd stops the start of a system that cannot
// mount an entry of fstab.
func (e leftovers) xenfs(s *Staged, job Job) error {
	why := Reason{Edit: e.Name(), Text: "the filesystem of Xen is not mounted", Required: true}
	return s.rewrite("/etc/fstab", job, why, func(text []byte) []byte {
		return eachLine(text, func(_ int, line string) string {
			if f := strings.Fields(line); len(f) > 2 && f[2] == "xenfs" && !strings.HasPrefix(f[0], "#") {
				return "#" + line
			}
			return line
		})
	})
}
