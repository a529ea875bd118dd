package edit

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

// lvm lets LVM take the disks under the names that the target gives them. A volume
// group whose devices are filtered out is not there, and the system with it.
type lvm struct{}

func (lvm) Name() string                { return "lvm" }
func (lvm) Applies(f *guest.Facts) bool { return f.OS.Type == "linux" }

// lvmConfigs are the files that hold filters (lvm.conf(5), lvmlocal.conf(5)), and
// lvmDeviceFile the list of the only devices to use (lvmdevices(8)).
var lvmConfigs = []string{"/etc/lvm/lvm.conf", "/etc/lvm/lvmlocal.conf"}

const lvmDeviceFile = "/etc/lvm/devices/system.devices"

func (e lvm) Plan(ctx context.Context, s *Staged, job Job) error {
	if err := e.caches(s, job); err != nil {
		return err
	}
	devices := lvmDevices(job.Facts, job.Needs)
	if len(devices) == 0 {
		return e.report(s, job)
	}
	for _, p := range lvmConfigs {
		if err := s.rewrite(p, job, e.why("filters take the disks of the target"), func(text []byte) []byte { return lvmConf(text, devices) }); err != nil {
			return err
		}
	}
	err := s.rewrite(lvmDeviceFile, job, e.why("physical volumes are found where the target has them"), func(text []byte) []byte {
		return lvmDeviceList(text, devices)
	})
	if err != nil {
		return err
	}
	for _, p := range append(lvmConfigs, lvmDeviceFile) {
		if !guest.IsFile(s, p) {
			continue
		}
		text, err := guest.ReadFile(s, p, job.Limits.OrDefault().Text)
		if err != nil {
			return err
		}
		for _, hidden := range HiddenPVs(path.Base(p), text, job) {
			s.Warn(e.Name(), "%s: %s", p, hidden)
		}
	}
	return ctx.Err()
}

// deviceCaches remember what was found where; who misses one looks again
// (lvm.conf(5), cache_dir; libblkid(3)).
var deviceCaches = []string{"/etc/lvm/cache/.cache", "/etc/lvm/.cache", "/etc/blkid.tab", "/etc/blkid/blkid.tab"}

func (e lvm) caches(s *Staged, job Job) error {
	why := Reason{Edit: e.Name(), Text: "it remembers the devices of the source"}
	for _, p := range deviceCaches {
		if !guest.IsFile(s, p) {
			continue
		}
		text, err := guest.ReadFile(s, p, job.Limits.OrDefault().Text)
		if err != nil {
			return err
		}
		if mention.Match(text) {
			if err := s.Remove(p, why); err != nil {
				return err
			}
		}
	}
	return nil
}

// report: the physical volumes are not on these disks, and nobody knows how the
// target will call theirs.
func (e lvm) report(s *Staged, job Job) error {
	for _, p := range lvmConfigs {
		if !guest.IsFile(s, p) {
			continue
		}
		text, err := guest.ReadFile(s, p, job.Limits.OrDefault().Text)
		if err != nil {
			return err
		}
		for _, f := range lvmFilters(text) {
			if busName.Match(text[f.from:f.to]) {
				s.Warn(e.Name(), "%s:%d takes disks of some names only; make it take those of the target", p, 1+bytes.Count(text[:f.from], []byte("\n")))
			}
		}
	}
	return nil
}

func (e lvm) why(text string) Reason { return Reason{Edit: e.Name(), Text: text, Required: true} }

// lvmDevice is a physical volume on a disk or a partition.
type lvmDevice struct {
	name   string   // on the target: "/dev/vda2"
	prefix string   // of the target's disks: "vd"; empty when they are not lettered
	before []string // names that the source may have had for it
	pvid   string   // without dashes
	needed bool     // a logical volume on it is mounted
}

// sourceBuses are the names of disks that hypervisors give.
var sourceBuses = []string{"xvd", "sd", "hd", "vd"}

// lvmDevices are the physical volumes whose name depends on the bus.
func lvmDevices(f *guest.Facts, needs Needs) []lvmDevice {
	if needs.DiskName == nil {
		return nil
	}
	needed := mountedOn(f)
	var out []lvmDevice
	for _, x := range f.Filesystems {
		if x.Type != "LVM2_member" || x.Number < 0 {
			continue
		}
		disk := needs.DiskName(x.Disk)
		d := lvmDevice{name: partitionName(disk, x.Number), pvid: strings.ReplaceAll(x.UUID, "-", ""), needed: needed[x.Volume]}
		letters := letterOf(x.Disk)
		if prefix, ok := strings.CutSuffix(disk, letters); ok {
			d.prefix = prefix
		}
		for _, bus := range sourceBuses {
			d.before = append(d.before, partitionName(bus+letters, x.Number))
		}
		out = append(out, d)
	}
	return out
}

// mountedOn are the volumes on which something lies that fstab mounts, or the root.
func mountedOn(f *guest.Facts) map[string]bool {
	out := map[string]bool{}
	for _, m := range slices.Concat([]guest.Mount{{Volume: f.Root}}, f.Mounts, f.Swaps) {
		for _, x := range f.Filesystems {
			for _, l := range x.Layers {
				for _, member := range l.Members {
					out[member] = out[member] || x.Volume == m.Volume
				}
			}
		}
	}
	return out
}

// letterOf counts disks as the kernel does: "a", "z", "aa".
func letterOf(index int) string {
	letters := ""
	for i := index; i >= 0; i = i/26 - 1 {
		letters = fmt.Sprintf("%c%s", 'a'+i%26, letters)
	}
	return letters
}

// lvmConf widens the filters of a configuration.
func lvmConf(text []byte, devices []lvmDevice) []byte {
	var out []byte
	at := 0
	for _, f := range lvmFilters(text) {
		out = append(out, text[at:f.patterns[0].start]...)
		out = append(out, f.widen(text, devices)...)
		at = f.patterns[len(f.patterns)-1].end
	}
	return append(out, text[at:]...)
}

// A line of the devices file: IDTYPE=sys_wwid IDNAME=naa.6 DEVNAME=/dev/sda2 PVID=x PART=2
var lvmField = regexp.MustCompile(`\b(IDTYPE|IDNAME|DEVNAME)=\S+`)

// busTypes are the kinds of names that are lost with the bus. Those that stay are
// of what lies on disks: arrays, encryption, logical volumes.
var busTypes = regexp.MustCompile(`^\s*IDTYPE=(?:devname|sys_wwid|sys_serial|scsi_\S*|mpath_uuid|wwid_\S*|drbd\S*)\s`)

// lvmDeviceList names the physical volumes by their device files, which LVM checks
// against the volume's own identifier.
func lvmDeviceList(text []byte, devices []lvmDevice) []byte {
	return eachLine(text, func(_ int, line string) string {
		if !busTypes.MatchString(line) {
			return line
		}
		for _, d := range devices {
			if d.pvid == "" || !strings.Contains(line, "PVID="+d.pvid) {
				continue
			}
			return lvmField.ReplaceAllStringFunc(line, func(field string) string {
				key, _, _ := strings.Cut(field, "=")
				return key + "=" + map[string]string{"IDTYPE": "devname", "IDNAME": d.name, "DEVNAME": d.name}[key]
			})
		}
		return line
	})
}

// HiddenPVs are the physical volumes that a file of LVM, of the given name, keeps
// it from using on the target, in words.
func HiddenPVs(name string, text []byte, job Job) []string {
	var out []string
	devices := lvmDevices(job.Facts, job.Needs)
	if name == path.Base(lvmDeviceFile) {
		if again := lvmDeviceList(text, devices); string(again) != string(text) {
			out = append(out, "devices are known by names of the source")
		}
		return out
	}
	for _, f := range lvmFilters(text) {
		for _, d := range devices {
			if taken, known := f.accepts([]string{d.name}); known && !taken && d.needed {
				out = append(out, "a filter hides "+d.name)
			}
		}
	}
	return out
}
