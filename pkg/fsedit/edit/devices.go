package edit

import (
	"bytes"
	"context"
	"path"
	"regexp"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

// devices renames block devices in the configuration that mounts, unlocks and
// resumes: every name there that depends on the bus. What the boot loader's
// configuration names is for its own edit.
type devices struct{}

func (devices) Name() string                { return "devices" }
func (devices) Applies(f *guest.Facts) bool { return f.OS.Type == "linux" }

func (e devices) Plan(ctx context.Context, s *Staged, job Job) error {
	if job.Needs.DiskName == nil {
		return nil
	}
	n := newNames(job)
	steps := []func(*Staged, Job, *names) error{
		e.fstab, e.crypttab, e.resume, e.mdadm, e.deviceMap, e.debconf, e.units, e.report,
	}
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step(s, job, n); err != nil {
			return err
		}
	}
	return nil
}

func (e devices) why(text string, required bool) Reason {
	return Reason{Edit: e.Name(), Text: text, Required: required}
}

// token replaces one name, and warns about one that none of the disks holds.
func (e devices) token(s *Staged, n *names, where string, line int, spec string, to func(string) string) string {
	if !stale(spec) {
		return spec
	}
	if !n.known(spec) {
		s.Warn(e.Name(), "%s:%d: %s is on none of the disks; left as it is", where, line, spec)
		return spec
	}
	return to(spec)
}

// resume is the swap space that initramfs-tools looks for a hibernated system
// in (initramfs-tools(7)); a name that never appears costs 30 seconds of each
// start.
func (e devices) resume(s *Staged, job Job, n *names) error {
	const dir = "/etc/initramfs-tools/conf.d"
	for _, name := range fileNames(s, dir) {
		p := join(dir, name)
		err := s.rewrite(p, job, e.why("the swap space of hibernation", false), func(text []byte) []byte {
			return resumeLine(text, func(line int, spec string) string {
				return e.token(s, n, p, line, spec, n.tag)
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

var resumeSetting = regexp.MustCompile(`^(\s*RESUME\s*=\s*["']?)(/dev/[^\s"'#]+)(.*)$`)

// resumeLine passes the device of each RESUME= through rename.
func resumeLine(text []byte, rename func(line int, spec string) string) []byte {
	return eachLine(text, func(number int, line string) string {
		if m := resumeSetting.FindStringSubmatch(line); m != nil {
			return m[1] + rename(number, m[2]) + m[3]
		}
		return line
	})
}

// mdadm: a DEVICE line that lists disks is where mdadm.conf(5) looks for
// members; "partitions" looks everywhere. Arrays are known by UUID.
func (e devices) mdadm(s *Staged, job Job, n *names) error {
	for _, p := range []string{"/etc/mdadm/mdadm.conf", "/etc/mdadm.conf"} {
		err := s.rewrite(p, job, e.why("members of RAID arrays are found whatever their names", true), allDevices)
		if err != nil {
			return err
		}
	}
	return nil
}

var mdadmDevice = regexp.MustCompile(`^(\s*(?i:DEVICE)\s+)(/dev/.*\S)(\s*)$`)

func allDevices(text []byte) []byte {
	return eachLine(text, func(_ int, line string) string {
		if m := mdadmDevice.FindStringSubmatch(line); m != nil {
			return m[1] + "partitions" + m[3]
		}
		return line
	})
}

// deviceMap is GRUB's table of BIOS drives, used when it is installed anew.
func (e devices) deviceMap(s *Staged, job Job, n *names) error {
	for _, p := range []string{"/boot/grub/device.map", "/boot/grub2/device.map"} {
		err := s.rewrite(p, job, e.why("the disks as GRUB's installer knows them", false), func(text []byte) []byte {
			return eachLine(text, func(number int, line string) string {
				fields := strings.Fields(line)
				if len(fields) != 2 || !strings.HasPrefix(fields[0], "(") {
					return line
				}
				return replaceLast(line, fields[1], e.token(s, n, p, number, fields[1], n.device))
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// debconf remembers where grub-pc installs GRUB when its package is upgraded
// (debconf(7)): a disk that is gone stops the upgrade with a question.
func (e devices) debconf(s *Staged, job Job, n *names) error {
	const p = "/var/cache/debconf/config.dat"
	return s.rewrite(p, job, e.why("where an upgrade of GRUB's package installs it", false), func(text []byte) []byte {
		template := ""
		return eachLine(text, func(number int, line string) string {
			key, value, ok := strings.Cut(line, ": ")
			switch {
			case ok && key == "Name":
				template = value
			case ok && key == "Value" && strings.HasPrefix(template, "grub-pc/install_devices"):
				return mention.ReplaceAllStringFunc(line, func(spec string) string {
					return e.token(s, n, p, number, spec, n.device)
				})
			}
			return line
		})
	})
}

// units: systemd.mount(5) and systemd.swap(5) name their device in What=. A
// swap unit is called like its device, which only a person can rename.
func (e devices) units(s *Staged, job Job, n *names) error {
	const dir = "/etc/systemd/system"
	what := regexp.MustCompile(`^(\s*What\s*=\s*)(/dev/\S+)(\s*)$`)
	for _, name := range fileNames(s, dir) {
		p := join(dir, name)
		switch path.Ext(name) {
		case ".swap", ".mount", ".device":
			if strings.HasPrefix(name, "dev-") && mention.MatchString("/"+strings.ReplaceAll(strings.TrimSuffix(name, path.Ext(name)), "-", "/")) {
				s.Warn(e.Name(), "%s is named after a device of the source; left as it is", p)
				continue
			}
		default:
			continue
		}
		err := s.rewrite(p, job, e.why("the device that a unit mounts", true), func(text []byte) []byte {
			return eachLine(text, func(number int, line string) string {
				if m := what.FindStringSubmatch(line); m != nil {
					return m[1] + e.token(s, n, p, number, m[2], n.path) + m[3]
				}
				return line
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// reportOnly are files whose settings belong to a disk rather than to a place:
// nobody but the owner knows what they should say of another disk.
var reportOnly = []string{
	"/etc/hdparm.conf", "/etc/smartd.conf", "/etc/multipath.conf", "/etc/exports", "/etc/rc.local", "/etc/suspend.conf", "/etc/uswsusp.conf", "/etc/docker/daemon.json",
}

// report warns, with file and line, about names in files that are not edited.
func (e devices) report(s *Staged, job Job, n *names) error {
	for _, p := range reportOnly {
		if !guest.IsFile(s, p) {
			continue
		}
		text, err := guest.ReadFile(s, p, job.Limits.OrDefault().Text)
		if err != nil {
			return err
		}
		eachLine(text, func(number int, line string) string {
			spec := mention.FindString(line)
			switch {
			case strings.HasPrefix(strings.TrimSpace(line), "#"):
			case spec != "":
				s.Warn(e.Name(), "%s:%d names %s; left as it is", p, number, spec)
			}
			return line
		})
	}
	return nil
}

// eachLine passes every line through change, without its line end, which stays.
// Numbers begin at 1.
func eachLine(text []byte, change func(number int, line string) string) []byte {
	var out bytes.Buffer
	number := 0
	for line := range bytes.Lines(text) {
		number++
		body := bytes.TrimRight(line, "\r\n")
		out.WriteString(change(number, string(body)))
		out.Write(line[len(body):])
	}
	return out.Bytes()
}

// fileNames lists the regular files of a directory, links to some included; a
// missing one has none.
func fileNames(v guest.View, dir string) []string {
	list, err := v.ReadDir(dir)
	if err != nil {
		return nil
	}
	var out []string
	for _, d := range list {
		if guest.IsFile(v, join(dir, d.Name)) {
			out = append(out, d.Name)
		}
	}
	return out
}

// replaceLast replaces the last old in line.
func replaceLast(line, old, new string) string {
	i := strings.LastIndex(line, old)
	if i < 0 {
		return line
	}
	return line[:i] + new + line[i+len(old):]
}
