package bootcheck

import (
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/edit"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

type checker struct {
	job    edit.Job
	view   guest.View
	facts  *guest.Facts
	needs  edit.Needs
	limits ondisk.Limits
	rows   []Row
}

// kernel: the kernel of a boot entry and its initramfs are there, and find the
// system's root. Only the entry that starts by itself is required.
func (c *checker) kernel(k guest.Kernel, required bool) {
	if k.XenOnly {
		c.add("kernel:"+k.Version, "the kernel runs on the target", false, required, "it runs under Xen only")
		return
	}
	pass := k.Image != "" && guest.IsFile(c.view, k.Image)
	c.add("kernel:"+k.Version, "the kernel is there", pass, required, "%s", orNone(k.Image))
	c.initramfs(k, required)
	c.root(k, required)
	c.console(k)
}

func orNone(p string) string {
	if p == "" {
		return "none was found"
	}
	return p
}

// initramfs: it, or the kernel itself, has the drivers of the target's disk and
// of the root filesystem, and devices find their drivers in its index.
func (c *checker) initramfs(k guest.Kernel, required bool) {
	have, err := edit.LoadDrivers(c.view, k, c.limits)
	text := "the initramfs can be read"
	if k.Initramfs == "" {
		text = "the kernel needs no initramfs"
	}
	if err != nil {
		c.add("initramfs:"+k.Version, text, false, required, "%v", err)
		return
	}
	c.add("initramfs:"+k.Version, text, true, required, "%s", orNone(k.Initramfs))
	var missing []string
	var found places
	for _, d := range c.needs.Drivers {
		switch where := have.Find(d.Module); {
		case where != "":
			found.add(d.Module, where)
		case d.Required:
			missing = append(missing, d.Module)
		}
	}
	c.list("drivers:"+k.Version, "the target's drivers load before the root is mounted", required, found.words(), missing)
	c.aliases(k, have, required)
	c.stack(k, have, required)
	c.filesystem(k, have, required)
}

// places gathers modules by where they are, in the order in which they were found.
type places []place

type place struct {
	where   string
	modules []string
}

func (p *places) add(module, where string) {
	i := slices.IndexFunc(*p, func(e place) bool { return e.where == where })
	if i < 0 {
		i = len(*p)
		*p = append(*p, place{where: where})
	}
	(*p)[i].modules = append((*p)[i].modules, module)
}

// words are one for each place: "virtio_pci virtio_blk in /boot/initrd.img".
func (p places) words() []string {
	var out []string
	for _, e := range p {
		out = append(out, strings.Join(e.modules, " ")+" "+e.where)
	}
	return out
}

func (c *checker) list(id, text string, required bool, found, missing []string) {
	if len(missing) > 0 {
		c.add(id, text, false, required, "missing: %s", strings.Join(missing, ", "))
		return
	}
	c.add(id, text, true, required, "%s", strings.Join(found, ", "))
}

// modaliases are what the kernel calls the target's devices when it asks for a
// driver: Documentation of the virtio specification, section 4.1.2 (PCI IDs) and
// 5 (device types).
var modaliases = map[string]string{
	"virtio_pci":  "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00",
	"virtio_net":  "virtio:d00000001v00001AF4",
	"virtio_blk":  "virtio:d00000002v00001AF4",
	"virtio_scsi": "virtio:d00000008v00001AF4",
}

// aliases: udev loads drivers by the names of devices; a module that no alias
// leads to stays where it is.
func (c *checker) aliases(k guest.Kernel, have *edit.DriverSet, required bool) {
	var found, missing []string
	for _, d := range c.needs.Drivers {
		alias := modaliases[d.Module]
		if alias == "" || have.Find(d.Module) == "" || have.Builtin(d.Module) {
			continue
		}
		switch {
		case slices.Contains(have.ByAlias(alias), d.Module):
			found = append(found, d.Module)
		case d.Required && !have.Forced(d.Module):
			missing = append(missing, d.Module)
		}
	}
	c.list("aliases:"+k.Version, "devices find their drivers", required, found, missing)
}

// filesystem: the driver of the root filesystem. ext4 serves ext2 and ext3 too.
func (c *checker) filesystem(k guest.Kernel, have *edit.DriverSet, required bool) {
	kind := ""
	for _, f := range c.facts.Filesystems {
		if f.Volume == c.facts.Root {
			kind = f.Type
		}
	}
	candidates := []string{kind}
	if kind == "ext2" || kind == "ext3" {
		candidates = append(candidates, "ext4")
	}
	if kind == "" {
		return
	}
	id, text := "rootfs:"+k.Version, "the root filesystem can be mounted"
	for _, module := range candidates {
		where := have.Find(module)
		if where == "" {
			continue
		}
		if sum, needed := checksums[kind]; needed && !have.Provides(sum) {
			c.add(id, text, false, required, "%s %s, but nothing there computes its checksums (%s)", module, where, sum)
			return
		}
		c.add(id, text, true, required, "%s%s %s", module, c.on(c.facts.Root), where)
		return
	}
	c.add(id, text, false, required, "no driver for %s", kind)
}

// checksums are what drivers of filesystems ask the kernel's cryptography for
// when they mount.
var checksums = map[string]string{"xfs": "crc32c", "ext4": "crc32c", "btrfs": "crc32c"}

// on says what volume a filesystem is on, where that is no partition.
func (c *checker) on(volume string) string {
	for _, f := range c.facts.Filesystems {
		if f.Volume == volume && len(f.Layers) > 0 {
			return " for " + volume
		}
	}
	return ""
}

// console: messages of the start can be seen. A screen is one too.
func (c *checker) console(k guest.Kernel) {
	id, text := "console:"+k.Version, "a console is on"
	var all []string
	for _, word := range strings.Fields(k.Args) {
		if v, ok := strings.CutPrefix(word, "console="); ok {
			device, _, _ := strings.Cut(v, ",")
			all = append(all, device)
		}
	}
	switch {
	case len(all) == 0:
		c.add(id, text, true, false, "the screen")
	default:
		known := func(device string) bool { return device == c.needs.Console || device == "tty0" || device == "tty1" }
		c.add(id, text, slices.ContainsFunc(all, known), false, "%s", strings.Join(all, ", "))
	}
}
