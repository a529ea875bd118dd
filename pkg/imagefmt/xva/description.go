package xva

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Description is the virtual machine of an archive, as its ova.xml has it.
// Snapshots of the machine are left out.
type Description struct {
	Name         string
	Text         string // what the user wrote about it
	UUID         string
	Memory       int64 // bytes
	VCPUs        int
	HVM          bool              // false: paravirtual
	Firmware     string            // "bios" or "uefi"
	SecureBoot   bool              // of uefi
	BootOrder    string            // c disk, d CD, n network: "dc"
	PVBootloader string            // "pygrub", "eliloader"
	PVKernel     string            // a path of the host, when there is no boot loader
	PVArgs       string            // the kernel's arguments
	Platform     map[string]string // other settings of the virtual hardware: "cores-per-socket", "vga", "viridian"
	Disks        []Disk            // in the order of their devices
	NICs         []NIC             // in the order of their devices
}

// Disk is a hard disk of a machine. CD drives are not listed.
type Disk struct {
	Ref      string // names its chunks; given out by NewWriter when one is written
	Name     string
	Size     int64  // bytes
	Device   string // "0" is the first; old exports have names, "xvda"
	Bootable bool
	ReadOnly bool
}

// NIC is a network card.
type NIC struct {
	MAC     string // empty: the host makes one
	Network string // the network's name
	Bridge  string // of the host, for hosts that do not know the network by name
	Device  string // "0" is the first
}

// object is an entry of ova.xml's list.
type object struct {
	class, id string
	fields    *value
}

// parseDescription reads ova.xml, which begins at off in the archive. sizes are
// those of all virtual disks in it, by reference, snapshots' too.
func parseDescription(doc []byte, off int64) (d Description, sizes map[string]int64, err error) {
	place := ondisk.At(layer, descriptionName, off)
	root, err := parseValue(doc)
	if err != nil {
		return d, nil, place.Wrap(err)
	}
	list := root.get("objects")
	if root.kind != structValue || list.kind != arrayValue {
		return d, nil, place.Corrupt("no list of objects")
	}
	objects := make([]object, 0, len(list.items))
	byID := map[string]*value{}
	for _, item := range list.items {
		o := object{class: item.get("class").text, id: item.get("id").text, fields: item.get("snapshot")}
		if byID[o.id] != nil {
			return d, nil, place.Corrupt("two objects are called %q", o.id)
		}
		byID[o.id] = o.fields
		objects = append(objects, o)
	}
	p := descriptionParser{place: place, objects: objects, byID: byID}
	if sizes, err = p.sizes(); err != nil {
		return d, nil, err
	}
	d, err = p.machine(sizes)
	return d, sizes, err
}

type descriptionParser struct {
	place   ondisk.Place
	objects []object
	byID    map[string]*value
}

func (p *descriptionParser) sizes() (map[string]int64, error) {
	sizes := map[string]int64{}
	for _, o := range p.objects {
		if o.class != "VDI" {
			continue
		}
		n, err := p.number(o.fields, "virtual_size")
		if err != nil {
			return nil, err
		}
		sizes[o.id] = n
	}
	return sizes, nil
}

// number is a field that has to be an integer, not negative.
func (p *descriptionParser) number(v *value, field string) (int64, error) {
	text := strings.TrimSpace(v.get(field).text)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, p.place.In("%s", field).Corrupt("%q is no number", text)
	}
	return n, nil
}

// choose finds the one machine that is no snapshot.
func (p *descriptionParser) choose() (object, error) {
	var found []object
	for _, o := range p.objects {
		if o.class == "VM" && !o.fields.get("is_a_snapshot").isTrue() && !o.fields.get("is_control_domain").isTrue() {
			found = append(found, o)
		}
	}
	switch len(found) {
	case 0:
		return object{}, p.place.Corrupt("no virtual machine")
	case 1:
		return found[0], nil
	}
	names := make([]string, len(found))
	for i, o := range found {
		names[i] = strconv.Quote(o.fields.get("name_label").text)
	}
	return object{}, p.place.Wrap(ondisk.Because(ondisk.ErrAmbiguous, "several virtual machines: %s", strings.Join(names, ", ")))
}

func (p *descriptionParser) machine(sizes map[string]int64) (Description, error) {
	vm, err := p.choose()
	if err != nil {
		return Description{}, err
	}
	v := vm.fields
	params, platform := v.get("HVM_boot_params").strings(), v.get("platform").strings()
	d := Description{
		Name: v.get("name_label").text, Text: v.get("name_description").text, UUID: v.get("uuid").text,
		HVM:      isHVM(v),
		Firmware: cmp.Or(params["firmware"], "bios"), BootOrder: params["order"],
		SecureBoot:   platform["secureboot"] == "true",
		PVBootloader: v.get("PV_bootloader").text, PVKernel: v.get("PV_kernel").text, PVArgs: v.get("PV_args").text,
		Platform: platform,
	}
	if d.Memory, err = p.number(v, "memory_static_max"); err != nil {
		return d, err
	}
	cpus, err := p.number(v, "VCPUs_max")
	if err != nil {
		return d, err
	}
	if cpus > 1<<16 {
		return d, p.place.In("VCPUs_max").Corrupt("%d processors", cpus)
	}
	d.VCPUs = int(cpus)
	d.NICs = p.nics(vm.id)
	d.Disks, err = p.disks(vm.id, sizes)
	return d, err
}

// isHVM: newer hosts say the type of the domain, older ones only have a way of
// booting by firmware or none.
func isHVM(vm *value) bool {
	switch domain := vm.get("domain_type").text; domain {
	case "", "unspecified":
		return vm.get("HVM_boot_policy").text != ""
	default:
		return domain == "hvm"
	}
}

func (p *descriptionParser) disks(vm string, sizes map[string]int64) ([]Disk, error) {
	var disks []Disk
	used := map[string]bool{}
	for _, o := range p.objects {
		vbd := o.fields
		if o.class != "VBD" || vbd.get("VM").text != vm || vbd.get("type").text != "Disk" || vbd.get("empty").isTrue() {
			continue
		}
		ref := vbd.get("VDI").text
		size, known := sizes[ref]
		if !known {
			return nil, p.place.In("VBD %s", o.id).Corrupt("its disk %q is not described", ref)
		}
		if used[ref] {
			return nil, p.place.In("VBD %s", o.id).Corrupt("its disk %q is that of another drive", ref)
		}
		used[ref] = true
		disks = append(disks, Disk{
			Ref: ref, Name: p.byID[ref].get("name_label").text, Size: size, Device: vbd.get("userdevice").text,
			Bootable: vbd.get("bootable").isTrue(), ReadOnly: vbd.get("mode").text == "RO",
		})
	}
	slices.SortStableFunc(disks, func(a, b Disk) int { return compareDevices(a.Device, b.Device) })
	return disks, nil
}

func (p *descriptionParser) nics(vm string) []NIC {
	var nics []NIC
	for _, o := range p.objects {
		if o.class != "VIF" || o.fields.get("VM").text != vm {
			continue
		}
		nic := NIC{MAC: o.fields.get("MAC").text, Device: o.fields.get("device").text}
		if network := p.byID[o.fields.get("network").text]; network != nil {
			nic.Network, nic.Bridge = network.get("name_label").text, network.get("bridge").text
		}
		nics = append(nics, nic)
	}
	slices.SortStableFunc(nics, func(a, b NIC) int { return compareDevices(a.Device, b.Device) })
	return nics
}

// compareDevices puts numbers in their order, "2" before "10", and names behind.
func compareDevices(a, b string) int {
	x, errX := strconv.ParseUint(a, 10, 32)
	y, errY := strconv.ParseUint(b, 10, 32)
	switch {
	case errX == nil && errY == nil:
		return cmp.Compare(x, y)
	case errX == nil:
		return -1
	case errY == nil:
		return 1
	}
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// label is what messages call a disk.
func (d Disk) label() string { return fmt.Sprintf("%s (%q)", d.Ref, d.Name) }
