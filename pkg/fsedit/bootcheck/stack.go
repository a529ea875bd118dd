package bootcheck

import (
	"path"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/edit"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

// assembler is what an initramfs needs to put one kind of volume together.
type assembler struct {
	kind, what string
	modules    []string
	ofType     func(string) []string // modules by the volume's type
	programs   []string              // one of them
	triggers   []string              // one of them runs the program
	off        []string              // arguments that switch it off
	only       []string              // arguments that limit it to what they name
}

// Of Debian's hooks, of dracut's modules and of mkinitcpio's, for each kind. The
// arguments are dracut's (dracut.cmdline(7)).
var assemblers = []assembler{
	{
		kind: "luks", what: "encryption",
		modules:  []string{"dm_mod", "dm_crypt"},
		programs: []string{"sbin/cryptsetup", "usr/sbin/cryptsetup", "usr/bin/cryptsetup", "lib/systemd/systemd-cryptsetup"},
		triggers: []string{"scripts/local-top/cryptroot", "sbin/cryptroot-ask", "lib/systemd/systemd-cryptsetup", "hooks/encrypt", "hooks/sd-encrypt"},
		off:      []string{"rd.luks=0", "rd_NO_LUKS"}, only: []string{"rd.luks.uuid", "rd_LUKS_UUID", "rd.luks.name"},
	},
	{
		kind: "md", what: "array",
		modules: []string{"md_mod"}, ofType: arrayModules,
		programs: []string{"sbin/mdadm", "usr/sbin/mdadm", "usr/bin/mdadm"},
		triggers: []string{
			"scripts/local-block/mdadm", "scripts/local-top/mdadm", "lib/udev/rules.d/64-md-raid-assembly.rules",
			"lib/udev/rules.d/65-md-incremental.rules", "lib/udev/rules.d/65-md-incremental-imsm.rules", "sbin/mdraid_start", "hooks/mdadm", "hooks/mdadm_udev",
		},
		off: []string{"rd.md=0", "rd_NO_MD"}, only: []string{"rd.md.uuid", "rd_MD_UUID"},
	},
	{
		kind: "lvm", what: "volume group",
		modules: []string{"dm_mod"}, ofType: segmentModules,
		programs: []string{"sbin/lvm", "usr/sbin/lvm", "usr/bin/lvm"},
		triggers: []string{
			"scripts/local-top/lvm2", "scripts/local-block/lvm2", "lib/udev/rules.d/69-lvm.rules", "lib/udev/rules.d/69-dm-lvm.rules",
			"lib/udev/rules.d/69-dm-lvm-metad.rules", "lib/udev/rules.d/64-lvm.rules", "lib/udev/rules.d/85-lvm2.rules", "hooks/lvm2",
		},
		off: []string{"rd.lvm=0", "rd_NO_LVM"}, only: []string{"rd.lvm.lv", "rd.lvm.vg", "rd_LVM_LV", "rd_LVM_VG"},
	},
}

// arrayModules are the personalities of MD, by level.
func arrayModules(level string) []string {
	switch level {
	case "raid4", "raid5", "raid6":
		return []string{"raid456"}
	case "":
		return nil
	}
	return []string{level}
}

// segmentModules are the device-mapper targets of LVM's kinds of segments
// (lvmraid(7), lvmthin(7), lvmcache(7)).
func segmentModules(kind string) []string {
	switch {
	case kind == "mirror":
		return []string{"dm_mirror"}
	case strings.HasPrefix(kind, "raid"):
		level, _, _ := strings.Cut(kind, "_")
		return append([]string{"dm_raid"}, arrayModules(level)...)
	case kind == "thin", kind == "thin-pool":
		return []string{"dm_thin_pool"}
	case strings.HasPrefix(kind, "cache"):
		return []string{"dm_cache"}
	case kind == "writecache":
		return []string{"dm_writecache"}
	case kind == "snapshot":
		return []string{"dm_snapshot"}
	}
	return nil
}

// stack: what the root lies in, and /usr where that is a filesystem of its own,
// is put together before they are mounted.
func (c *checker) stack(k guest.Kernel, have *edit.DriverSet, required bool) {
	for _, a := range assemblers {
		var layers []guest.Layer
		for _, l := range c.early() {
			if l.Kind == a.kind && !slices.ContainsFunc(layers, func(o guest.Layer) bool { return o.Volume == l.Volume }) {
				layers = append(layers, l)
			}
		}
		if len(layers) > 0 {
			c.assembled(a, layers, k, have, required)
		}
	}
}

// early are the layers that an initramfs has to put together.
func (c *checker) early() []guest.Layer {
	volumes := []string{c.facts.Root}
	for _, m := range c.facts.Mounts {
		if m.Path == "/usr" {
			volumes = append(volumes, m.Volume)
		}
	}
	var out []guest.Layer
	for _, f := range c.facts.Filesystems {
		if slices.Contains(volumes, f.Volume) {
			out = append(out, f.Layers...)
		}
	}
	return out
}

// assembled is the row of one kind of volume.
func (c *checker) assembled(a assembler, layers []guest.Layer, k guest.Kernel, have *edit.DriverSet, required bool) {
	id, text := a.kind+":"+k.Version, "the root's "+a.what+" is put together"
	if k.Initramfs == "" {
		c.add(id, text, false, required, "%s needs an initramfs, and the kernel has none", layers[0].Volume)
		return
	}
	missing := a.missingModules(layers, have)
	program, trigger := have.Holds(a.programs...), have.Holds(append(inEtc(a.triggers), a.triggers...)...)
	switch {
	case program == "":
		missing = append(missing, path.Base(a.programs[0]))
	case trigger == "":
		missing = append(missing, "what runs "+path.Base(program))
	}
	if a.kind == "luks" {
		missing = append(missing, c.cipher(have)...)
	}
	if len(missing) > 0 {
		c.add(id, text, false, required, "missing in %s: %s", k.Initramfs, strings.Join(missing, ", "))
		return
	}
	why := a.excluded(layers, strings.Fields(have.Arguments()+" "+k.Args))
	if why == "" {
		why = c.settings(a.kind, layers, have)
	}
	if why != "" {
		c.add(id, text, false, required, "%s: %s", k.Initramfs, why)
		return
	}
	c.add(id, text, true, required, "%s by %s, %s in %s", layers[0].Volume, program, trigger, k.Initramfs)
}

// missingModules are those that only the initramfs could have, and it has not.
func (a assembler) missingModules(layers []guest.Layer, have *edit.DriverSet) []string {
	modules := slices.Clone(a.modules)
	for _, l := range layers {
		if a.ofType != nil {
			modules = append(modules, a.ofType(l.Type)...)
		}
	}
	var missing []string
	for _, m := range modules {
		if have.IsModule(m) && have.Find(m) == "" && !slices.Contains(missing, m) {
			missing = append(missing, m)
		}
	}
	return missing
}

// settings is a word about files of the initramfs that leave a volume out.
func (c *checker) settings(kind string, layers []guest.Layer, have *edit.DriverSet) string {
	switch kind {
	case "luks":
		return c.unlisted(layers, have)
	case "lvm":
		return c.hidden(have)
	}
	return ""
}

// cipher is what decrypting lacks: AES, and the mode of new volumes or of old ones.
func (c *checker) cipher(have *edit.DriverSet) []string {
	var missing []string
	if !have.Provides("aes") {
		missing = append(missing, "aes")
	}
	if !have.Provides("xts") && !have.Provides("cbc") {
		missing = append(missing, "xts")
	}
	return missing
}

// unlisted is a word about an encrypted volume that the initramfs is not told of:
// initramfs-tools unlocks what its cryptroot/crypttab lists.
func (c *checker) unlisted(layers []guest.Layer, have *edit.DriverSet) string {
	const p = "cryptroot/crypttab"
	text := have.Text(p)
	if have.Holds("scripts/local-top/cryptroot") == "" {
		return ""
	}
	for _, l := range layers {
		listed := false
		for line := range strings.Lines(string(text)) {
			if words := strings.Fields(line); len(words) > 1 {
				found := edit.Resolve(c.facts, c.needs, words[1])
				listed = listed || found != nil && slices.Contains(l.Members, found.Volume)
			}
		}
		if !listed {
			return p + " does not list " + strings.Join(l.Members, ", ")
		}
	}
	return ""
}

// inEtc are the same rules of udev where dracut puts its own.
func inEtc(triggers []string) []string {
	var out []string
	for _, p := range triggers {
		if rule, ok := strings.CutPrefix(p, "lib/udev/"); ok {
			out = append(out, "etc/udev/"+rule)
		}
	}
	return out
}

// excluded is the argument that keeps the initramfs from a volume. Where some are
// named, dracut leaves the others alone.
func (a assembler) excluded(layers []guest.Layer, args []string) string {
	for _, arg := range args {
		if slices.Contains(a.off, arg) {
			return arg + " switches it off"
		}
	}
	for _, l := range layers {
		var named []string
		hit := false
		for _, arg := range args {
			key, value, _ := strings.Cut(arg, "=")
			if !slices.Contains(a.only, key) {
				continue
			}
			named = append(named, arg)
			hit = hit || isNamed(l, value)
		}
		if len(named) > 0 && !hit {
			return l.Volume + " is not among " + strings.Join(named, " ")
		}
	}
	return ""
}

// isNamed reports whether the value of an argument means a layer: "vg/root", "vg",
// or the start of a UUID in any writing.
func isNamed(l guest.Layer, value string) bool {
	group, _, _ := strings.Cut(l.Volume, "/")
	if value == l.Volume || l.Kind == "lvm" && value == group {
		return true
	}
	plain := func(s string) string {
		s, _, _ = strings.Cut(strings.ToLower(s), "=") // rd.luks.name=UUID=NAME
		return strings.NewReplacer("-", "", ":", "").Replace(strings.TrimPrefix(s, "luks-"))
	}
	return l.UUID != "" && plain(value) != "" && strings.HasPrefix(plain(l.UUID), plain(value))
}

// hidden is the word about physical volumes that LVM's settings in the initramfs
// keep it from.
func (c *checker) hidden(have *edit.DriverSet) string {
	for _, p := range []string{"etc/lvm/lvm.conf", "etc/lvm/lvmlocal.conf", "etc/lvm/devices/system.devices"} {
		if all := edit.HiddenPVs(path.Base(p), have.Text(p), c.job); len(all) > 0 {
			return p + ": " + strings.Join(all, ", ")
		}
	}
	return ""
}

// lvm: LVM of the running system finds the physical volumes of what fstab mounts.
func (c *checker) lvm() {
	uses := false
	for _, f := range c.facts.Filesystems {
		uses = uses || slices.ContainsFunc(f.Layers, func(l guest.Layer) bool { return l.Kind == "lvm" })
	}
	if !uses {
		return
	}
	id, text := "lvm", "LVM takes the disks of the target"
	for _, p := range []string{"/etc/lvm/lvm.conf", "/etc/lvm/lvmlocal.conf", "/etc/lvm/devices/system.devices"} {
		if !guest.IsFile(c.view, p) {
			continue
		}
		content, err := guest.ReadFile(c.view, p, c.limits.Text)
		if err != nil {
			c.add(id, text, false, true, "%v", err)
			return
		}
		if all := edit.HiddenPVs(path.Base(p), content, c.job); len(all) > 0 {
			c.add(id, text, false, true, "%s: %s", p, strings.Join(all, ", "))
			return
		}
	}
	c.add(id, text, true, true, "no filter and no list of devices is against it")
}
