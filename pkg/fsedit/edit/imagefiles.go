package edit

import (
	"bytes"
	"path"
	"regexp"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/fsedit/initramfs"
)

// imageFiles changes the files of an initramfs besides its modules. Contents are
// those of the delta where it has them already.
type imageFiles struct {
	image *initramfs.Image
	added map[string][]byte // by canonical path: what the segment will hold
}

// edit passes a file that the image holds through change.
func (f *imageFiles) edit(p string, change func([]byte) []byte) error {
	if e, ok := f.image.Lookup(p); !ok || !e.IsRegular() {
		return nil
	}
	canon, ok := f.image.Canonical(p)
	if !ok {
		return nil
	}
	text, ok := f.added[canon]
	if !ok {
		var err error
		if text, err = f.image.Content(canon); err != nil {
			return err
		}
	}
	if out := change(text); !bytes.Equal(out, text) {
		f.added[canon] = out
	}
	return nil
}

// put adds a file, or nothing when the image has it with that content.
func (f *imageFiles) put(p string, content []byte) error {
	canon, ok := f.image.Canonical(p)
	if !ok {
		canon = p // the segment refuses it with a better word
	}
	if e, ok := f.image.Lookup(canon); ok && e.IsRegular() && e.Size() == int64(len(content)) {
		old, err := f.image.Content(canon)
		if err != nil {
			return err
		}
		if bytes.Equal(old, content) {
			return nil
		}
	}
	f.added[canon] = content
	return nil
}

// below are the regular files directly in a directory of the image.
func (f *imageFiles) below(dir string) []string {
	canon, ok := f.image.Canonical(dir)
	if !ok {
		return nil
	}
	var out []string
	for e := range f.image.Under(dir) {
		if e.IsRegular() && path.Dir(e.Path) == canon {
			out = append(out, e.Path)
		}
	}
	return out
}

// configured are the indexes of modules and the small files that name devices or
// forbid drivers; their contents are kept when the image is read.
func configured(p string, size int64) bool {
	if strings.HasPrefix(path.Base(p), "modules.") && strings.Contains(p, "lib/modules/") {
		return true
	}
	if strings.HasPrefix(p, "etc/lvm/") || strings.HasPrefix(p, "etc/mdadm/") {
		return size <= 512<<10
	}
	if size > 64<<10 {
		return false
	}
	for _, dir := range []string{"conf/", "conf/conf.d/", "etc/cmdline.d/", "etc/", "cryptroot/", "config"} {
		if strings.HasPrefix(p, dir) && !strings.Contains(p[len(dir):], "/") {
			return true
		}
	}
	return strings.Contains(p, "dracut/hooks/") || strings.HasSuffix(p, ".link") || strings.Contains(p, "modprobe.d/")
}

// devices renames what the image says of devices: initramfs-tools(7) reads
// conf.d/resume and param.conf, dracut.cmdline(7) reads cmdline.d.
func (f *imageFiles) devices(n *names) error {
	type edits struct {
		files  []string
		change func([]byte) []byte
	}
	for _, e := range []edits{
		{append(f.below("conf/conf.d"), "conf/param.conf"), n.assignments},
		{f.below("etc/cmdline.d"), n.mentions},
		{[]string{"cryptroot/crypttab", "etc/crypttab"}, func(text []byte) []byte { return n.column(text, 1) }},
		{[]string{"etc/fstab"}, func(text []byte) []byte { return n.column(text, 0) }}, // of dracut: what is mounted early
	} {
		for _, p := range e.files {
			if err := f.edit(p, e.change); err != nil {
				return err
			}
		}
	}
	if err := f.storage(n); err != nil {
		return err
	}
	return f.waits(n)
}

var rootSetting = regexp.MustCompile(`^(\s*(?:ROOT|RESUME|resume)\s*=\s*["']?)(/dev/[^\s"'#]+)(.*)$`)

// assignments renames the device of ROOT= and RESUME=, a line each.
func (n *names) assignments(text []byte) []byte {
	return eachLine(text, func(_ int, line string) string {
		if m := rootSetting.FindStringSubmatch(line); m != nil && stale(m[2]) && n.known(m[2]) {
			return m[1] + n.tag(m[2]) + m[3]
		}
		return line
	})
}

// mentions renames devices wherever they stand.
func (n *names) mentions(text []byte) []byte {
	return mention.ReplaceAllFunc(text, func(spec []byte) []byte {
		if !n.known(string(spec)) {
			return spec
		}
		return []byte(n.path(string(spec)))
	})
}

// column renames the devices that are word number i, from 0, of their lines.
func (n *names) column(text []byte, i int) []byte {
	return eachLine(text, func(_ int, line string) string {
		return replaceField(line, i, func(spec string) string {
			if stale(spec) && n.known(spec) {
				return n.tag(spec)
			}
			return spec
		})
	})
}

// storage: copies of what LVM and mdadm are told about disks.
func (f *imageFiles) storage(n *names) error {
	pvs := lvmDevices(n.facts, Needs{DiskName: n.diskName})
	steps := map[string]func([]byte) []byte{"etc/mdadm/mdadm.conf": allDevices, "etc/mdadm.conf": allDevices}
	if len(pvs) > 0 {
		for _, p := range lvmConfigs {
			steps[p] = func(text []byte) []byte { return lvmConf(text, pvs) }
		}
		steps[lvmDeviceFile] = func(text []byte) []byte { return lvmDeviceList(text, pvs) }
	}
	for p, change := range steps {
		if err := f.edit(p, change); err != nil {
			return err
		}
	}
	return nil
}

// allow lifts what the image's copy of modprobe.d(5) has against the drivers.
func (f *imageFiles) allow(needs Needs) error {
	for _, dir := range []string{"etc/modprobe.d", "lib/modprobe.d"} {
		for _, p := range f.below(dir) {
			if err := f.edit(p, func(text []byte) []byte { return allow(text, needs) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// force has the image load the drivers before it looks for its root. Devices
// found by udev would load them anyway; this costs nothing and needs no luck.
func (f *imageFiles) force(kind initramfs.Kind, drivers []string) error {
	switch kind {
	case initramfs.InitramfsTools: // load_modules in scripts/functions
		if _, ok := f.image.Lookup("conf/modules"); !ok {
			return f.put("conf/modules", addModules(nil, drivers))
		}
		return f.edit("conf/modules", func(text []byte) []byte { return addModules(text, drivers) })
	case initramfs.Dracut: // dracut.cmdline(7): rd.driver.pre, one for each driver
		line := "rd.driver.pre=" + strings.Join(drivers, " rd.driver.pre=") + "\n"
		return f.put("etc/cmdline.d/20-vmconv.conf", []byte(line))
	}
	return nil
}

// links takes in the files that name network cards, where the image's udev would
// name them by link files of its own.
func (f *imageFiles) links(s *Staged, job Job) error {
	if _, ok := f.image.Lookup("lib/udev/rules.d/80-net-setup-link.rules"); !ok {
		return nil
	}
	dir := path.Dir(linkPrefix)
	for _, name := range fileNames(s, dir) {
		if !strings.HasPrefix(dir+"/"+name, linkPrefix) {
			continue
		}
		text, err := guest.ReadFile(s, dir+"/"+name, job.Limits.OrDefault().Text)
		if err != nil {
			return err
		}
		if err := f.put("lib/systemd/network/"+name, text); err != nil {
			return err
		}
	}
	return nil
}
