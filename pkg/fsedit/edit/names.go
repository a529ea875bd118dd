package edit

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

// names tells what the block devices that a guest names are called on the target.
// A filesystem is named by its UUID where that is unambiguous; what has none
// gets the target's name for the disk.
type names struct {
	facts    *guest.Facts
	diskName func(int) string
	uuids    map[string]int // how many volumes carry a UUID
}

func newNames(job Job) *names {
	n := &names{facts: job.Facts, diskName: job.Needs.DiskName, uuids: map[string]int{}}
	for _, f := range job.Facts.Filesystems {
		n.uuids[strings.ToLower(f.UUID)]++
	}
	return n
}

// The kernel's names of disks and partitions that depend on the bus: letters
// count disks (Documentation/admin-guide/devices.txt), or a number does, and
// then "p" comes before the partition. Names of mapped devices are stable.
var (
	lettered = regexp.MustCompile(`^/dev/(?:hd|sd|vd|xvd|ubd)([a-z]+)(\d*)$`)
	numbered = regexp.MustCompile(`^/dev/(?:nvme(\d+)n\d+|mmcblk(\d+)|ubd(\d+))(?:p(\d+))?$`)
	busBound = regexp.MustCompile(`^/dev/(?:disk/by-path/.+|disk/by-id/(?:ata|scsi|wwn|nvme|virtio|usb|ieee1394|mmc)-.+|cciss/c\d+d\d+(?:p\d+)?|ida/c\d+d\d+(?:p\d+)?|rd/c\d+d\d+(?:p\d+)?)$`)
	// mention finds such names inside a longer text.
	mention = regexp.MustCompile(`/dev/(?:(?:hd|sd|vd|xvd|ubd)[a-z]+\d*|(?:nvme\d+n|mmcblk|ubd)\d+(?:p\d+)?)\b`)
)

// stale reports whether spec is a name that another hypervisor gives to another
// device, or to none.
func stale(spec string) bool {
	return lettered.MatchString(spec) || numbered.MatchString(spec) || busBound.MatchString(spec)
}

// position is the disk and partition that a kernel name counts; partition 0 is
// the whole disk.
func position(spec string) (disk, partition int, ok bool) {
	if m := lettered.FindStringSubmatch(spec); m != nil && len(m[1]) <= 3 {
		for _, letter := range m[1] {
			disk = disk*26 + int(letter-'a') + 1
		}
		partition, err := number(m[2])
		return disk - 1, partition, err == nil
	}
	if m := numbered.FindStringSubmatch(spec); m != nil {
		disk, err := number(m[1] + m[2] + m[3])
		if err != nil {
			return 0, 0, false
		}
		partition, err := number(m[4])
		return disk, partition, err == nil
	}
	return 0, 0, false
}

func number(digits string) (int, error) {
	if digits == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	return int(n), err
}

// find is the filesystem that a stale name means. What fstab's entries resolved
// to goes before counting letters: some hypervisors count differently.
func (n *names) find(spec string) *guest.Filesystem {
	for _, list := range [][]guest.Mount{n.facts.Mounts, n.facts.Swaps} {
		for _, m := range list {
			if m.Spec == spec && m.Volume != "" {
				return n.volume(m.Volume)
			}
		}
	}
	disk, partition, ok := position(spec)
	if !ok {
		return nil
	}
	for i, f := range n.facts.Filesystems {
		if f.Disk == disk && f.Number == partition {
			return &n.facts.Filesystems[i]
		}
	}
	return nil
}

func (n *names) volume(id string) *guest.Filesystem {
	for i, f := range n.facts.Filesystems {
		if f.Volume == id {
			return &n.facts.Filesystems[i]
		}
	}
	return nil
}

// tag is the name for fstab, crypttab and root=: "UUID=…", or a device. The
// name that is given back unchanged is not known.
func (n *names) tag(spec string) string {
	if f := n.find(spec); f != nil && n.unique(f) {
		return "UUID=" + f.UUID
	}
	return n.device(spec)
}

// path is the name where only a path will do.
func (n *names) path(spec string) string {
	if f := n.find(spec); f != nil && n.unique(f) {
		return "/dev/disk/by-uuid/" + f.UUID
	}
	return n.device(spec)
}

// device is the target's kernel name of what spec means.
func (n *names) device(spec string) string {
	disk, partition, ok := position(spec)
	if f := n.find(spec); f != nil {
		disk, partition, ok = f.Disk, f.Number, true
	}
	if !ok {
		return spec
	}
	return partitionName(n.diskName(disk), partition)
}

func partitionName(disk string, partition int) string {
	switch {
	case partition == 0:
		return "/dev/" + disk
	case disk[len(disk)-1] >= '0' && disk[len(disk)-1] <= '9':
		return fmt.Sprintf("/dev/%sp%d", disk, partition)
	}
	return fmt.Sprintf("/dev/%s%d", disk, partition)
}

func (n *names) unique(f *guest.Filesystem) bool {
	return f.UUID != "" && n.uuids[strings.ToLower(f.UUID)] == 1
}

// known reports whether the disks of the conversion hold what spec means: its
// filesystem, or at least its disk.
func (n *names) known(spec string) bool {
	if n.find(spec) != nil {
		return true
	}
	disk, _, ok := position(spec)
	if !ok {
		return false
	}
	for _, f := range n.facts.Filesystems {
		if f.Disk == disk {
			return true
		}
	}
	return false
}
