package edit

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// regenerate tells the guest's own generator of initramfs images which drivers
// to keep, for the day when it makes a new one.
type regenerate struct{}

func (regenerate) Name() string                { return "initramfs-config" }
func (regenerate) Applies(f *guest.Facts) bool { return f.OS.Type == "linux" }

func (e regenerate) Plan(ctx context.Context, s *Staged, job Job) error {
	var drivers []string
	for _, d := range job.Needs.Drivers {
		drivers = append(drivers, d.Module)
	}
	if len(drivers) == 0 {
		return nil
	}
	if guest.IsDir(s, "/etc/initramfs-tools") {
		if err := e.initramfsTools(s, job, drivers); err != nil {
			return err
		}
	}
	if guest.IsDir(s, "/usr/lib/dracut") || guest.IsDir(s, "/usr/share/dracut") {
		if err := e.dracut(s, drivers); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (e regenerate) why() Reason {
	return Reason{Edit: e.Name(), Text: "the next initramfs has the target's drivers too"}
}

// initramfsTools: /etc/initramfs-tools/modules holds a module a line, with its
// parameters (initramfs-tools(7)).
func (e regenerate) initramfsTools(s *Staged, job Job, drivers []string) error {
	const p = "/etc/initramfs-tools/modules"
	var text []byte
	if guest.IsFile(s, p) {
		var err error
		if text, err = guest.ReadFile(s, p, job.Limits.OrDefault().Text); err != nil {
			return err
		}
	}
	return s.WriteFile(p, blockdev.FromBytes(addModules(text, drivers)), 0o644, e.why())
}

// addModules appends the modules that a list of them lacks, a line each.
func addModules(text []byte, modules []string) []byte {
	missing := slices.DeleteFunc(slices.Clone(modules), func(m string) bool { return listed(text, m) })
	if len(missing) == 0 {
		return text
	}
	const header = "# Drivers of the virtual machine, added by vmconv.\n"
	text = endLine(text)
	if !bytes.Contains(text, []byte(header)) {
		text = append(text, header...)
	}
	return append(text, strings.Join(missing, "\n")+"\n"...)
}

func listed(text []byte, module string) bool {
	for line := range bytes.Lines(text) {
		f := bytes.Fields(line)
		if len(f) > 0 && canonical(string(f[0])) == module {
			return true
		}
	}
	return false
}

// dracut.conf(5): the spaces inside the quotes separate the value from those of
// other files.
func (e regenerate) dracut(s *Staged, drivers []string) error {
	text := "# Drivers of the virtual machine, added by vmconv.\nadd_drivers+=\" " + strings.Join(drivers, " ") + " \"\n"
	return s.WriteFile("/etc/dracut.conf.d/50-vmconv.conf", blockdev.FromBytes([]byte(text)), 0o644, e.why())
}
