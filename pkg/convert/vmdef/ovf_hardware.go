package vmdef

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Resource types of CIM_ResourceAllocationSettingData.
const (
	resourceOther      = 1
	resourceCPU        = 3
	resourceMemory     = 4
	resourceIDE        = 5
	resourceSCSI       = 6
	resourceEthernet   = 10
	resourceFloppy     = 14
	resourceCD         = 15
	resourceDVD        = 16
	resourceDisk       = 17
	resourceExtent     = 19 // XenServer's disks
	resourceStorage    = 20
	resourceLogical    = 21 // Microsoft's disks
	resourceUSB        = 23
	resourceGraphics   = 24
	resourceSound      = 35
	resourceMonitor    = 26 // oVirt
	resourcePCI        = 28 // oVirt's host devices
	resourceUnassigned = 32767
)

// item is one piece of hardware.
type item struct {
	*element
	kind    int
	id      string
	subtype string // lower case
}

func newItem(e *element) item {
	kind, _ := strconv.Atoi(e.child("ResourceType").text)
	return item{element: e, kind: kind, id: instanceID(e), subtype: strings.ToLower(e.child("ResourceSubType").text)}
}

func instanceID(e *element) string {
	if id := e.child("InstanceID").text; id != "" {
		return id
	}
	return e.child("InstanceId").text // version 0.9
}

func (it item) number(name string) (int, bool) {
	n, err := strconv.Atoi(it.child(name).text)
	return n, err == nil && n >= 0 && n <= maxNodes
}

func (it item) title() string {
	if name := it.child("ElementName").text; name != "" {
		return name
	}
	return it.child("Caption").text
}

// hardware reads the items in two passes, since a disk may come before its
// controller.
func (s *ovfSystem) hardware(e *element) {
	s.systemType(e.child("System").child("VirtualSystemType").text)
	items := s.items(e)
	s.controllers, s.perBus = map[string]Place{}, map[string]int{}
	for _, it := range items {
		s.controller(it)
	}
	for _, it := range items {
		s.item(it)
	}
	for _, c := range e.children {
		switch c.name {
		case "Config", "ExtraConfig":
			s.setting(c)
		case "VirtualSystemOtherConfigurationData":
			s.xenSetting(c)
		}
	}
	s.vm.CPUs = s.vm.CPUs.spread()
}

// items are those of the default configuration. One that is bound to it replaces
// the general one with its instance id.
func (s *ovfSystem) items(e *element) []item {
	var list []item
	place := map[string]int{}
	for _, c := range e.children {
		if c.name != "Item" && c.name != "StorageItem" && c.name != "EthernetPortItem" {
			continue
		}
		if c.attr("bound") != "" { // the range of a value that another item gives
			continue
		}
		it, chosen := newItem(c), c.attr("configuration")
		if chosen != "" && !slices.Contains(strings.Fields(chosen), s.configuration) {
			continue
		}
		if at, again := place[it.id]; again && it.id != "" && chosen != "" {
			list[at] = it
			continue
		}
		place[it.id] = len(list)
		list = append(list, it)
	}
	return list
}

// controller remembers where drives can be attached.
func (s *ovfSystem) controller(it item) {
	var p Place
	switch {
	case it.kind == resourceIDE:
		p.Bus, p.Model = "ide", it.subtype
	case it.kind == resourceSCSI:
		p.Bus, p.Model = "scsi", ovfSCSIModel(it.subtype)
	case it.kind != resourceStorage || s.ovirt:
		return
	case strings.Contains(it.subtype, "ahci"), strings.Contains(it.subtype, "sata"):
		p.Bus, p.Model = "sata", "ahci"
	case strings.Contains(it.subtype, "nvme"):
		p.Bus = "nvme"
	case strings.Contains(it.subtype, "virtio"):
		p.Bus, p.Model = "scsi", "virtio-scsi"
	default:
		s.warn.add("line %d: storage controller %s is not known", it.line, short(it.subtype))
	}
	p.Controller = s.perBus[p.Bus]
	if n, ok := it.number("Address"); ok {
		p.Controller = n
	}
	s.perBus[p.Bus]++
	s.controllers[it.id] = p
}

func ovfSCSIModel(subtype string) string {
	switch subtype {
	case "virtualscsi":
		return "pvscsi"
	case "lsilogicsas":
		return "lsisas1068"
	case "virtio", "virtioscsi":
		return "virtio-scsi"
	}
	return subtype
}

// attached is where a drive is.
func (s *ovfSystem) attached(it item) Place {
	parent := it.child("Parent").text
	p, known := s.controllers[parent]
	if parent != "" && !known && !s.ovirt {
		s.warn.add("line %d: its controller %s does not exist", it.line, short(parent))
	}
	if n, ok := it.number("AddressOnParent"); ok {
		p.Unit = n
	}
	if s.ovirt {
		p.Boot, _ = it.number("BootOrder")
	}
	return p
}

func (s *ovfSystem) item(it item) {
	switch it.kind {
	case resourceCPU:
		s.cpus(it)
	case resourceMemory:
		// The first versions of VMware and VirtualBox left the unit out.
		s.vm.Memory = s.size(it.element, "memory", it.child("VirtualQuantity").text, it.child("AllocationUnits").text, 1<<20)
	case resourceDisk:
		s.hardDisk(it)
	case resourceExtent, resourceLogical:
		if strings.Contains(it.child("HostResource").text, "/disk/") {
			s.hardDisk(it)
		}
	case resourceCD, resourceDVD:
		s.removable(it, "cdrom")
	case resourceFloppy:
		s.removable(it, "floppy")
	case resourceEthernet:
		s.nic(it)
	case resourceOther:
		if strings.Contains(it.subtype, "vtpm") {
			s.vm.TPM = "2.0" // VMware has no other
		}
	case 0, resourceIDE, resourceSCSI, resourceStorage, resourceUSB, resourceGraphics, resourceSound, resourceMonitor, resourceUnassigned:
	default:
		if it.attr("required") != "false" {
			s.warn.add("line %d: hardware %s of type %d is not carried over", it.line, short(it.title()), it.kind)
		}
	}
}

func (s *ovfSystem) cpus(it item) {
	c := &s.vm.CPUs
	if n, ok := it.number("VirtualQuantity"); ok && n <= maxCPUs {
		c.Count = n
	}
	if n, ok := it.number("CoresPerSocket"); ok && n <= maxCPUs {
		c.CoresPerSocket = n
	}
	if s.ovirt {
		c.Sockets, _ = it.number("num_of_sockets")
		c.CoresPerSocket, _ = it.number("cpu_per_socket")
		if threads, ok := it.number("threads_per_cpu"); ok && threads > 1 && threads <= maxCPUs && c.CoresPerSocket <= maxCPUs/threads {
			c.CoresPerSocket *= threads
		}
		c.Count = 0
	}
}

// hostResource is the kind and id of "ovf:/disk/ID", which early producers write
// as "/disk/ID" or "disk/ID".
func hostResource(text string) (kind, id string) {
	text = strings.TrimLeft(strings.TrimPrefix(text, "ovf:"), "/")
	kind, id, ok := strings.Cut(text, "/")
	if !ok {
		return "", text
	}
	return kind, id
}

func (s *ovfSystem) hardDisk(it item) {
	text := it.child("HostResource").text
	kind, id := hostResource(text)
	var d Disk
	switch found := s.disks[id]; {
	case s.ovirt && s.disks[text] != nil:
		d = *s.disks[text]
	case found != nil && kind != "file":
		d = *found
	case kind == "file" && s.file(id) != nil:
		f := s.file(id)
		d = Disk{File: f.Name, Parts: f.Parts, Compression: f.Compression, FileSize: f.Size}
	default:
		s.warn.add("line %d: disk %s is left out: %s is not in the package", it.line, short(it.title()), short(text))
		return
	}
	place := s.attached(it)
	if place.Bus == "" { // oVirt gives it with the disk
		place.Bus, place.Model = d.Bus, d.Model
	}
	if place.Boot == 0 {
		place.Boot = d.Boot
	}
	d.Place = place
	s.vm.Disks = append(s.vm.Disks, d)
}

func (s *ovfSystem) removable(it item, kind string) {
	drive := Removable{Place: s.attached(it), Kind: kind}
	if where, id := hostResource(it.child("HostResource").text); where == "file" {
		if f := s.file(id); f != nil {
			drive.File = f.Name
		}
	}
	s.vm.Removables = append(s.vm.Removables, drive)
}

func (s *ovfSystem) nic(it item) {
	n := NIC{
		MAC:     macAddress(it.child("Address").text),
		Model:   ovfNICModel(it.subtype),
		Network: it.child("Connection").text,
	}
	if s.ovirt {
		n.MAC, n.Model = macAddress(it.child("MACAddress").text), ovirtNICModel(it.subtype)
	}
	s.vm.NICs = append(s.vm.NICs, n)
}

func ovfNICModel(subtype string) string {
	switch {
	case strings.HasPrefix(subtype, "pcnet"):
		return "pcnet"
	case strings.HasPrefix(subtype, "virtio"):
		return "virtio"
	}
	return subtype
}

// macAddress is an address in lower case with colons; VirtualBox writes none.
// Anything else is no address.
func macAddress(s string) string {
	s = strings.ToLower(strings.NewReplacer(":", "", "-", "").Replace(s))
	if _, err := strconv.ParseUint(s, 16, 48); len(s) != 12 || err != nil {
		return ""
	}
	return fmt.Sprintf("%s:%s:%s:%s:%s:%s", s[0:2], s[2:4], s[4:6], s[6:8], s[8:10], s[10:12])
}
