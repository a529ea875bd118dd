package edit

import (
	"context"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/cmdline"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

// entries changes the kernel arguments of boot entries that are files: type 1 of
// the Boot Loader Specification, which GRUB shows by blscfg and systemd-boot by
// itself, and the line from which kernel-install makes the next ones.
type entries struct{}

func (entries) Name() string                { return "entries" }
func (entries) Applies(f *guest.Facts) bool { return f.OS.Type == "linux" }

func (e entries) Plan(ctx context.Context, s *Staged, job Job) error {
	n := newNames(job)
	why := Reason{Edit: e.Name(), Text: "boot entries find the root and the console", Required: true}
	for _, dir := range entryDirs(job.Facts) {
		for _, name := range fileNames(s, dir) {
			if path.Ext(name) != ".conf" {
				continue
			}
			p := join(dir, name)
			if err := s.rewrite(p, job, why, func(text []byte) []byte { return e.entry(s, job, n, p, text) }); err != nil {
				return err
			}
		}
	}
	why = Reason{Edit: e.Name(), Text: "the next boot entries find the root and the console"}
	err := s.rewrite("/etc/kernel/cmdline", job, why, func(text []byte) []byte {
		return eachLine(text, func(_ int, line string) string { return entryArguments(job, n, line, true) })
	})
	if err != nil {
		return err
	}
	return ctx.Err()
}

// entryDirs are the folders with boot entries: of /boot, and of EFI system
// partitions.
func entryDirs(f *guest.Facts) []string {
	dirs := []string{"/boot/loader/entries"}
	for _, esp := range f.Firmware.ESPs {
		dirs = append(dirs, join(esp.Path, "loader/entries"))
	}
	for _, l := range f.Loaders {
		if l.Kind == "systemd-boot" {
			dirs = append(dirs, path.Dir(l.Config)+"/entries")
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

var optionsLine = regexp.MustCompile(`^(\s*options\s+)(.*)$`)

// entry changes the options of one entry, of which there may be several lines.
func (e entries) entry(s *Staged, job Job, n *names, p string, text []byte) []byte {
	initramfs := regexp.MustCompile(`(?m)^\s*initrd\s`).Match(text)
	return eachLine(text, func(_ int, line string) string {
		m := optionsLine.FindStringSubmatch(line)
		if m == nil {
			return line
		}
		if root, ok := cmdline.Parse(m[2]).Last("root"); ok && stale(root) && !n.known(root) {
			s.Warn(e.Name(), "%s: root=%s is on none of the disks; left as it is", p, root)
		}
		return m[1] + entryArguments(job, n, m[2], initramfs)
	})
}

// entryArguments changes a line of kernel arguments; without root= it is only a
// part of one, or no line of Linux.
func entryArguments(job Job, n *names, text string, initramfs bool) string {
	if strings.HasPrefix(strings.TrimSpace(text), "#") {
		return text
	}
	line := cmdline.Parse(text)
	_, whole := line.Last("root")
	before := line.String()
	arguments{names: n, needs: job.Needs, initramfs: initramfs, all: whole}.edit(line)
	if line.String() == before {
		return text
	}
	return line.String()
}
