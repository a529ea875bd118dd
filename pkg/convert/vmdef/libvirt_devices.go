package vmdef

import (
	"strconv"
	"strings"

	"libvirt.org/go/libvirtxml"
)

func (r *libvirtReader) devices(list *libvirtxml.DomainDeviceList) {
	models := map[uint]string{}
	for _, c := range list.Controllers {
		if c.Type == "scsi" && c.Index != nil {
			models[*c.Index] = scsiModel(c.Model)
		}
	}
	for i := range list.Disks {
		r.drive(&list.Disks[i], models)
	}
	for i := range list.Interfaces {
		r.vm.NICs = append(r.vm.NICs, libvirtNIC(&list.Interfaces[i]))
	}
	for _, tpm := range list.TPMs {
		r.vm.TPM = "present"
		if b := tpm.Backend; b != nil && b.Emulator != nil && b.Emulator.Version != "" {
			r.vm.TPM = b.Emulator.Version
		}
	}
	r.vm.Console = len(list.Serials)+len(list.Consoles) > 0
}

// scsiModel names a model as QEMU does.
func scsiModel(model string) string {
	switch model {
	case "vmpvscsi":
		return "pvscsi"
	case "virtio-transitional", "virtio-non-transitional":
		return "virtio-scsi"
	}
	return model
}

// drive reads one disk element, which may be a drive for media.
func (r *libvirtReader) drive(d *libvirtxml.DomainDisk, models map[uint]string) {
	place := libvirtPlace(d, models)
	file, remote := libvirtSource(d.Source)
	switch d.Device {
	case "cdrom", "floppy":
		if remote != "" {
			r.warn.add("drive %s: its medium is no file: %s", short(place.Device), short(remote))
		}
		r.vm.Removables = append(r.vm.Removables, Removable{Place: place, Kind: d.Device, File: file})
		return
	}
	disk := Disk{Place: place, File: file, Remote: remote, Format: "raw", ReadOnly: d.ReadOnly != nil, Serial: d.Serial}
	if d.Driver != nil && d.Driver.Type != "" {
		disk.Format = d.Driver.Type
	}
	if disk.Format == "aio" { // Xen's blktap names the way of access there
		disk.Format = "raw"
	}
	if remote != "" {
		r.warn.add("disk %s cannot be read, it is no file or block device: %s", short(place.Device), short(remote))
	}
	if d.Encryption != nil || d.Source != nil && d.Source.Encryption != nil {
		r.warn.add("disk %s is encrypted by the host", short(place.Device))
	}
	if d.Source != nil && d.Source.Slices != nil {
		r.warn.add("disk %s is a slice of its file", short(place.Device))
	}
	if file == "" && remote == "" {
		r.warn.add("disk %s has no source", short(place.Device))
	}
	r.vm.Disks = append(r.vm.Disks, disk)
}

func libvirtPlace(d *libvirtxml.DomainDisk, models map[uint]string) Place {
	var p Place
	if d.Target != nil {
		p.Device, p.Bus = d.Target.Dev, d.Target.Bus
	}
	if d.Boot != nil && d.Boot.Order <= maxNodes {
		p.Boot = int(d.Boot.Order)
	}
	controller := uint(0)
	if a := d.Address; a != nil && a.Drive != nil {
		if c := a.Drive.Controller; c != nil && *c <= maxNodes {
			controller = *c
		}
		if u := a.Drive.Unit; u != nil && *u <= maxNodes {
			p.Unit = int(*u)
		}
		if b := a.Drive.Bus; b != nil && p.Bus == "ide" && *b <= 1 {
			controller += *b // the two channels of one controller are two for others
		}
	}
	p.Controller = int(controller)
	if p.Bus == "scsi" {
		p.Model = models[controller]
	}
	return p
}

// libvirtSource is the file of a source, or words for one that is no file.
func libvirtSource(s *libvirtxml.DomainDiskSource) (file, remote string) {
	switch {
	case s == nil:
	case s.File != nil:
		return s.File.File, ""
	case s.Block != nil:
		return s.Block.Dev, ""
	case s.Volume != nil:
		return "", "volume " + s.Volume.Pool + "/" + s.Volume.Volume
	case s.Network != nil:
		return "", networkSource(s.Network)
	case s.Dir != nil:
		return "", "folder " + s.Dir.Dir
	case s.NVME != nil:
		return "", "NVMe device of the host"
	case s.VHostUser != nil:
		return "", "vhost-user"
	case s.VHostVDPA != nil:
		return "", "vhost-vdpa"
	}
	return "", ""
}

func networkSource(n *libvirtxml.DomainDiskSourceNetwork) string {
	var b strings.Builder
	b.WriteString(n.Protocol + " " + n.Name)
	for _, h := range n.Hosts {
		b.WriteString(" " + h.Name)
		if _, err := strconv.Atoi(h.Port); err == nil {
			b.WriteString(":" + h.Port)
		}
	}
	return b.String()
}

func libvirtNIC(i *libvirtxml.DomainInterface) NIC {
	var nic NIC
	if i.MAC != nil {
		nic.MAC = strings.ToLower(i.MAC.Address)
	}
	if i.Model != nil {
		nic.Model = i.Model.Type
	}
	switch s := i.Source; {
	case s == nil:
	case s.Network != nil:
		nic.Type, nic.Network = "network", s.Network.Network
	case s.Bridge != nil:
		nic.Type, nic.Network = "bridge", s.Bridge.Bridge
	case s.Direct != nil:
		nic.Type, nic.Network = "direct", s.Direct.Dev
	case s.Ethernet != nil:
		nic.Type = "ethernet"
	case s.User != nil:
		nic.Type = "user"
	case s.Hostdev != nil:
		nic.Type = "hostdev"
	}
	return nic
}
