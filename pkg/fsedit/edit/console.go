package edit

import (
	"context"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// console moves the login prompt from Xen's console, /dev/hvc0 or, before Linux
// 2.6.29, /dev/xvc0, to the target's serial port. The kernel's own console= is
// for the boot loader's edit.
type console struct{}

func (console) Name() string                { return "console" }
func (console) Applies(f *guest.Facts) bool { return f.OS.Type == "linux" }

func (e console) Plan(ctx context.Context, s *Staged, job Job) error {
	steps := []func(*Staged, Job) error{e.inittab, e.securetty, e.systemd, e.upstart}
	for _, step := range steps {
		if err := step(s, job); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (e console) why(text string) Reason { return Reason{Edit: e.Name(), Text: text} }

// xenConsoles are the devices of Xen's console.
var (
	xenConsoles = []string{"hvc0", "xvc0"}
	xenConsole  = regexp.MustCompile(`\b[hx]vc0\b`)
)

// inittab(5): the process is the fourth field. Xen guests often have no prompt
// on the screen, which they lack there; one is switched on.
func (e console) inittab(s *Staged, job Job) error {
	return s.rewrite("/etc/inittab", job, e.why("a login prompt on the console"), func(text []byte) []byte {
		taken := job.Needs.Console != "" && gettyOn(text, regexp.QuoteMeta(job.Needs.Console))
		screen := gettyOn(text, `tty[1-6]`)
		return eachLine(text, func(_ int, line string) string {
			field := strings.SplitN(line, ":", 4)
			switch {
			case len(field) < 4:
				return line
			case strings.HasPrefix(line, "#"):
				if !screen && commentedGetty.MatchString(line) && !xenConsole.MatchString(line) {
					screen = true
					return line[1:]
				}
				return line
			case !xenConsole.MatchString(field[3]):
				return line
			case job.Needs.Console == "" || taken:
				return "#" + line
			}
			taken = true
			field[3] = xenConsole.ReplaceAllString(field[3], job.Needs.Console)
			return strings.Join(field, ":")
		})
	})
}

var commentedGetty = regexp.MustCompile(`^#1:[2-5]+:respawn:.*getty.*\btty1\b`)

// gettyOn reports whether a line that is not a comment runs something on a tty,
// which is a regular expression.
func gettyOn(text []byte, tty string) bool {
	re := regexp.MustCompile(`(?m)^[^#\n]*:respawn:.*\b` + tty + `\b`)
	return re.Match(text)
}

// securetty(5) lists where root may log in.
func (e console) securetty(s *Staged, job Job) error {
	if job.Needs.Console == "" {
		return nil
	}
	return s.rewrite("/etc/securetty", job, e.why("root may log in on the serial console"), func(text []byte) []byte {
		if regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(job.Needs.Console) + `\s*$`).Match(text) {
			return text
		}
		done := false
		return eachLine(text, func(_ int, line string) string {
			if done || !slices.Contains(xenConsoles, strings.TrimSpace(line)) {
				return line
			}
			done = true
			return line + "\n" + job.Needs.Console
		})
	})
}

// systemd: an enabled serial-getty@hvc0 waits for a device that never comes. The
// link moves to the target's console, for which systemd-getty-generator(8)
// would start the same service.
func (e console) systemd(s *Staged, job Job) error {
	const dir = "/etc/systemd/system"
	list, err := s.ReadDir(dir)
	if err != nil {
		return nil // no systemd, or nothing enabled
	}
	for _, d := range list {
		if path.Ext(d.Name) != ".wants" && path.Ext(d.Name) != ".requires" {
			continue
		}
		for _, tty := range xenConsoles {
			if err := e.moveGetty(s, job, join(dir, d.Name), tty); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e console) moveGetty(s *Staged, job Job, dir, tty string) error {
	link := join(dir, "serial-getty@"+tty+".service")
	attr, err := s.Lstat(link)
	if err != nil || !attr.Mode.IsSymlink() {
		return nil
	}
	target, err := s.Readlink(link)
	if err != nil {
		return err
	}
	if err := s.Remove(link, e.why("there is no /dev/"+tty+" on the target")); err != nil {
		return err
	}
	moved := join(dir, "serial-getty@"+job.Needs.Console+".service")
	switch _, err := s.Lstat(moved); {
	case job.Needs.Console == "" || err == nil:
		return nil
	case path.Base(target) != "serial-getty@.service":
		s.Warn(e.Name(), "%s: %s is this system's own; %s gets the usual login prompt", link, target, job.Needs.Console)
		target = "/lib/systemd/system/serial-getty@.service"
	}
	return s.Symlink(moved, target, e.why("a login prompt on the console"))
}

// upstart has a job for each terminal, in init(5).
func (e console) upstart(s *Staged, job Job) error {
	for _, tty := range xenConsoles {
		old := "/etc/init/" + tty + ".conf"
		if !guest.IsFile(s, old) {
			continue
		}
		text, err := guest.ReadFile(s, old, job.Limits.OrDefault().Text)
		if err != nil {
			return err
		}
		if err := s.Remove(old, e.why("there is no /dev/"+tty+" on the target")); err != nil {
			return err
		}
		moved := "/etc/init/" + job.Needs.Console + ".conf"
		if job.Needs.Console == "" || guest.Exists(s, moved) {
			continue
		}
		text = xenConsole.ReplaceAll(text, []byte(job.Needs.Console))
		if err := s.WriteFile(moved, blockdev.FromBytes(text), filesys.Mode(0o644), e.why("a login prompt on the console")); err != nil {
			return err
		}
	}
	return nil
}
