package guest

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Devices finds volumes by the names that a running guest has for them.
type Devices struct {
	list  []Filesystem
	disks int
}

// NewDevices knows the given volumes. Names that depend on the order of disks
// count the disks in the order of their index.
func NewDevices(list []Filesystem) *Devices {
	d := &Devices{list: list}
	for _, f := range list {
		d.disks = max(d.disks, f.Disk+1)
	}
	return d
}

// Find returns the IDs of the volumes that a name of fstab or of a kernel command
// line can mean: "UUID=…", "LABEL=…", "PARTUUID=…", "PARTLABEL=…", the links in
// /dev/disk, the kernel's own names of disks and partitions, and the names of logical
// volumes and arrays. Several are
// copies of each other; none is a name that means no volume here.
func (d *Devices) Find(spec string) []string {
	if ids := d.where(func(f Filesystem) bool { return slices.Contains(f.Names, spec) }); len(ids) > 0 {
		return ids
	}
	if link, ok := strings.CutPrefix(spec, "/dev/disk/"); ok {
		return d.link(link)
	}
	if key, value, ok := strings.Cut(spec, "="); ok {
		return d.tag(key, value)
	}
	if disk, partition, ok := diskPosition(spec); ok {
		return d.at(disk, partition)
	}
	return nil
}

// link resolves a path below /dev/disk, whose names udev escapes.
func (d *Devices) link(p string) []string {
	kind, name, ok := strings.Cut(p, "/")
	if !ok {
		return nil
	}
	name = unhex(name)
	switch kind {
	case "by-uuid":
		return d.tag("UUID", name)
	case "by-label":
		return d.tag("LABEL", name)
	case "by-partuuid":
		return d.tag("PARTUUID", name)
	case "by-partlabel":
		return d.tag("PARTLABEL", name)
	case "by-id", "by-path":
		return d.hardware(name)
	}
	return nil
}

// hardware resolves a name that tells of the bus or of a serial number. Both are
// lost in an image; with one disk it can only be that.
func (d *Devices) hardware(name string) []string {
	for _, container := range []string{"dm-", "lvm-", "md-"} {
		if strings.HasPrefix(name, container) {
			return nil
		}
	}
	if d.disks != 1 {
		return nil
	}
	_, part, ok := cutLast(name, "-part")
	if !ok {
		return d.at(0, 0)
	}
	n, err := strconv.ParseUint(part, 10, 16)
	if err != nil {
		return nil
	}
	return d.at(0, int(n))
}

func cutLast(s, sep string) (before, after string, ok bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func (d *Devices) tag(key, value string) []string {
	if value == "" {
		return nil
	}
	return d.where(func(f Filesystem) bool {
		switch key {
		case "UUID":
			return strings.EqualFold(f.UUID, value)
		case "LABEL":
			return f.Label == value
		case "PARTUUID":
			return strings.EqualFold(f.PartUUID, value)
		case "PARTLABEL":
			return f.PartLabel == value
		}
		return false
	})
}

func (d *Devices) at(disk, partition int) []string {
	return d.where(func(f Filesystem) bool { return f.Disk == disk && f.Number == partition })
}

func (d *Devices) where(ok func(Filesystem) bool) []string {
	var ids []string
	for _, f := range d.list {
		if ok(f) {
			ids = append(ids, f.Volume)
		}
	}
	return ids
}

func (d *Devices) get(id string) *Filesystem {
	for i := range d.list {
		if d.list[i].Volume == id {
			return &d.list[i]
		}
	}
	return nil
}

// The kernel's names of disks; Documentation/admin-guide/devices.txt.
var (
	lettered = regexp.MustCompile(`^(?:/dev/)?(hd|sd|vd|xvd|ubd|dasd)([a-z]{1,3})([0-9]{0,3})$`)
	nvme     = regexp.MustCompile(`^(?:/dev/)?nvme([0-9]{1,4})n([0-9]{1,4})(?:p([0-9]{1,3}))?$`)
	card     = regexp.MustCompile(`^(?:/dev/)?mmcblk([0-9]{1,4})(?:p([0-9]{1,3}))?$`)
	array    = regexp.MustCompile(`^(?:/dev/)?(?:cciss|ida|rd)/c[0-9]+d([0-9]{1,4})(?:p([0-9]{1,3}))?$`)
)

// diskPosition takes a kernel name of a disk or partition apart: "/dev/xvdb3" is
// partition 3 of disk 1; partition 0 is the whole disk. Of NVMe the controllers
// are counted, or the namespaces where there is one controller, as VMware has it.
func diskPosition(name string) (disk, partition int, ok bool) {
	if m := lettered.FindStringSubmatch(name); m != nil {
		for _, c := range m[2] {
			disk = disk*26 + int(c-'a') + 1
		}
		return disk - 1, small(m[3]), true
	}
	if m := nvme.FindStringSubmatch(name); m != nil {
		disk = small(m[1])
		if namespace := small(m[2]); disk == 0 && namespace > 1 {
			disk = namespace - 1
		}
		return disk, small(m[3]), true
	}
	for _, form := range []*regexp.Regexp{card, array} {
		if m := form.FindStringSubmatch(name); m != nil {
			return small(m[1]), small(m[2]), true
		}
	}
	return 0, 0, false
}

// small is a number of few digits, or 0 for none.
func small(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}

// unhex undoes the escapes of udev: \x20.
func unhex(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if strings.HasPrefix(s[i:], `\x`) && i+4 <= len(s) {
			if c, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
