package vmdef

import (
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// xlDisk is a disk specification while it is read.
type xlDisk struct {
	at         ondisk.Place
	target     string
	haveTarget bool
	format     string
	haveFormat bool
	vdev       string
	access     string
	cdrom      bool
	script     string
	backend    string // domain that serves the disk
}

// disk reads xl-disk-configuration(5): "target, format, vdev, access" by place
// or by name, the last one target=, which takes all the rest.
func (r *xlReader) disk(v xlValue) error {
	d := &xlDisk{at: ondisk.At("xl", "disk", ondisk.NoOffset).In("line %d", v.line)}
	rest := strings.TrimSpace(v.text)
	for more := true; more; {
		if target, ok := strings.CutPrefix(strings.TrimSpace(rest), "target="); ok {
			d.target, d.haveTarget = target, true
			break
		}
		var field string
		field, rest, more = strings.Cut(rest, ",")
		field = strings.TrimSpace(field)
		key, value, named := strings.Cut(field, "=")
		switch {
		case named && xlDiskKeys[key]:
			d.set(key, value)
		case named && d.haveTarget:
			r.warn.add("line %d: %s of a disk is not carried over", v.line, short(key))
		case xlDiskFlags[field] && field != "":
			d.cdrom = d.cdrom || field == "cdrom"
		default:
			if err := d.positional(field); err != nil {
				return err
			}
		}
	}
	return r.addDisk(v, d)
}

var (
	xlDiskKeys = wordSet(`format vdev access devtype script backend backendtype discard-enable specification
		transport colo-host colo-port colo-export active-disk hidden-disk`)
	xlDiskFlags = wordSet("cdrom direct-io-safe discard no-discard colo no-colo trusted untrusted grant-usage no-grant-usage")
)

func (d *xlDisk) set(key, value string) {
	switch key {
	case "format":
		d.format, d.haveFormat = value, true
	case "vdev":
		d.vdev = value
	case "access":
		d.access = value
	case "devtype":
		d.cdrom = value == "cdrom"
	case "script":
		d.script = value
	case "backend":
		d.backend = value
	}
}

// positional takes the next parameter without a name.
func (d *xlDisk) positional(field string) error {
	switch {
	case !d.haveTarget:
		d.target, d.haveTarget = d.prefixes(field), true
	case !d.haveFormat:
		d.format, d.haveFormat = field, true
	case d.vdev == "":
		d.vdev = field
		if name, ok := strings.CutSuffix(field, ":cdrom"); ok {
			d.vdev, d.cdrom = name, true
		} else {
			d.vdev = strings.TrimSuffix(d.vdev, ":disk")
		}
	case d.access == "":
		d.access = field
	case field != "":
		return d.at.Corrupt("%s is one parameter too many", short(field))
	}
	return nil
}

// prefixes strips the old forms "phy:", "file:", "tap:aio:", "tap2:qcow2:", which
// give the format, so that the next parameter is the virtual device.
func (d *xlDisk) prefixes(target string) string {
	for {
		prefix, rest, found := strings.Cut(target, ":")
		switch prefix {
		case "phy", "file", "tap", "tap2", "aio", "ioemu", "tapdisk":
			if !d.haveFormat {
				d.format = "raw"
			}
			if prefix == "phy" && rest != "" && rest[0] != '/' {
				rest = "/dev/" + rest
			}
		case "raw", "qcow", "qcow2", "vhd", "qed", "vmdk":
			d.format = prefix
		case "iscsi", "nbd", "drbd", "enbd", "rbd":
			d.script, d.format = "block-"+prefix, "raw"
		default:
			return target
		}
		if !found {
			return target
		}
		d.haveFormat, target = true, rest
	}
}

func (r *xlReader) addDisk(v xlValue, d *xlDisk) error {
	place := Place{Device: d.vdev, Bus: xlBus(d.vdev)}
	if d.vdev == "" {
		return d.at.Corrupt("no virtual device is named")
	}
	if d.format == "empty" {
		d.target = ""
	}
	if d.cdrom {
		r.vm.Removables = append(r.vm.Removables, Removable{Place: place, Kind: "cdrom", File: d.target})
		return nil
	}
	disk := Disk{Place: place, File: d.target, Format: d.format}
	switch disk.Format {
	case "", "aio":
		disk.Format = "raw"
	case "raw", "qcow", "qcow2", "vhd", "qed", "vmdk":
	case "empty":
		r.warn.add("line %d: disk %s is empty", v.line, short(d.vdev))
		return nil
	default:
		return d.at.Unsupported("format %s", short(disk.Format))
	}
	switch d.access {
	case "r", "ro":
		disk.ReadOnly = true
	case "", "w", "rw", "w!", "r!":
		disk.ReadOnly = d.access == "r!"
	default:
		return d.at.Corrupt("access %s", short(d.access))
	}
	if d.script != "" || d.backend != "" && d.backend != "0" && d.backend != "Domain-0" {
		disk.File, disk.Remote = "", strings.Join(strings.Fields(d.script+" "+d.backend+" "+disk.File), " ")
		r.warn.add("line %d: disk %s cannot be read, a script or another domain serves it", v.line, short(d.vdev))
	}
	if disk.Blank() {
		return d.at.Corrupt("disk %s has no target", short(d.vdev))
	}
	r.vm.Disks = append(r.vm.Disks, disk)
	return nil
}

// xlBus is the bus that a virtual device is on (xen-vbd-interface(7)).
func xlBus(vdev string) string {
	switch {
	case strings.HasPrefix(vdev, "hd"):
		return "ide"
	case strings.HasPrefix(vdev, "sd"):
		return "scsi"
	}
	return "xen"
}
