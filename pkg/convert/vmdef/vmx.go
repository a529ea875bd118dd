package vmdef

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// ParseVMX reads the configuration file of a virtual machine of VMware.
func ParseVMX(data []byte, limits ondisk.Limits) (VM, []string, error) {
	limits = limits.OrDefault()
	if err := checkText("vmx", data, limits, "\n"); err != nil {
		return VM{}, nil, err
	}
	r := &vmxReader{}
	var err error
	if r.dict, err = parseDictionary(data, &r.warn); err != nil {
		return VM{}, nil, err
	}
	at := ondisk.At("vmx", "settings", ondisk.NoOffset)
	for _, key := range []string{"encryption.keysafe", "encryption.data"} {
		if r.dict[key] != "" {
			return VM{}, nil, at.In("%s", key).Encrypted("the machine is encrypted; remove its encryption in VMware")
		}
	}
	if len(r.dict) == 0 {
		return VM{}, nil, at.Format("no settings")
	}
	r.machine()
	r.drives()
	r.nics()
	r.unknown()
	return r.vm, r.warn.list, nil
}

type vmxReader struct {
	dict dictionary
	vm   VM
	warn warnings
}

func (r *vmxReader) machine() {
	d, vm := r.dict, &r.vm
	vm.Name, vm.GuestOS = d["displayname"], d["guestos"]
	vm.UUID = vmxUUID(d["uuid.bios"])
	vm.Firmware = strings.ToLower(d["firmware"])
	vm.SecureBoot = d.yes("uefi.secureboot.enabled")
	vm.NVRAM = d["nvram"]
	if d.yes("vtpm.present") || d.yes("managedvm.autoaddvtpm") {
		vm.TPM = "2.0" // VMware has no other
	}
	vm.Memory = int64(d.number("memsize", 1<<30, &r.warn)) << 20 // MiB
	vm.CPUs = CPUs{
		Count:          d.number("numvcpus", maxCPUs, &r.warn),
		CoresPerSocket: d.number("cpuid.corespersocket", maxCPUs, &r.warn),
	}.spread()
	vm.GenID = vmxGenID(d["vm.genid"], d["vm.genidx"])
	if d["serialnumber.reflecthost"] == "" {
		vm.Serial = d["serialnumber"]
	}
	for i := range 4 {
		vm.Console = vm.Console || d.yes(fmt.Sprintf("serial%d.present", i))
	}
}

// vmxUUID turns "56 4d 12 34 56 78 9a bc-de f0 …" into the usual form.
func vmxUUID(s string) string {
	s = strings.ToLower(strings.NewReplacer(" ", "", "-", "").Replace(s))
	if len(s) != 32 || strings.Trim(s, "0123456789abcdef") != "" {
		return ""
	}
	return strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
}

// vmxGenID puts the two halves of a generation ID together. They are signed
// decimals of a GUID's 16 bytes, which keep its first three fields little-endian.
func vmxGenID(first, second string) string {
	a, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return ""
	}
	b, err := strconv.ParseInt(second, 10, 64)
	if err != nil {
		return ""
	}
	lo, hi := uint64(a), bits.ReverseBytes64(uint64(b))
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", uint32(lo), uint16(lo>>32), uint16(lo>>48), hi>>48, hi&(1<<48-1))
}

// slot is a place for a drive that the file speaks of: "scsi0:1".
type slot struct {
	bus              string
	controller, unit int
}

func (s slot) String() string { return fmt.Sprintf("%s%d:%d", s.bus, s.controller, s.unit) }

// vmxBuses are in the order in which the firmware tries them.
var vmxBuses = []string{"scsi", "sata", "ide", "nvme"}

// slots are the places in the order of the firmware; the user's own order of
// hard disks comes first.
func (r *vmxReader) slots() []slot {
	seen := map[slot]bool{}
	for key := range r.dict {
		if s, ok := parseSlot(key); ok {
			seen[s] = true
		}
	}
	first := map[slot]int{}
	for i, name := range strings.Split(r.dict["bios.hddorder"], ",") {
		if s, ok := parseSlot(strings.ToLower(strings.TrimSpace(name)) + "."); ok && first[s] == 0 {
			first[s] = i - maxNodes // before all that are not named
		}
	}
	list := make([]slot, 0, len(seen))
	for s := range seen {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b slot) int {
		return cmp.Or(cmp.Compare(first[a], first[b]),
			cmp.Compare(slices.Index(vmxBuses, a.bus), slices.Index(vmxBuses, b.bus)),
			cmp.Compare(a.controller, b.controller), cmp.Compare(a.unit, b.unit))
	})
	return list
}

// parseSlot reads the place at the start of a key.
func parseSlot(key string) (slot, bool) {
	name, _, dotted := strings.Cut(key, ".")
	controller, unit, ok := strings.Cut(name, ":")
	if !ok || !dotted {
		return slot{}, false
	}
	for _, bus := range vmxBuses {
		number, found := strings.CutPrefix(controller, bus)
		if !found {
			continue
		}
		c, err := strconv.ParseUint(number, 10, 8)
		u, err2 := strconv.ParseUint(unit, 10, 8)
		return slot{bus, int(c), int(u)}, err == nil && err2 == nil
	}
	return slot{}, false
}

func (r *vmxReader) drives() {
	for _, s := range r.slots() {
		if r.dict.yes(s.String() + ".present") {
			r.drive(s)
		}
	}
	if order := r.dict["bios.hddorder"]; order != "" && len(r.vm.Disks) > 0 {
		r.vm.Disks[0].Boot = 1
	}
	if r.dict.yes("floppy0.present") {
		f := Removable{Kind: "floppy", Place: Place{Bus: "fdc", Device: "floppy0"}}
		if strings.EqualFold(r.dict["floppy0.filetype"], "file") {
			f.File = r.dict["floppy0.filename"]
		}
		r.vm.Removables = append(r.vm.Removables, f)
	}
}

func (r *vmxReader) drive(s slot) {
	file, kind := r.dict[s.String()+".filename"], strings.ToLower(r.dict[s.String()+".devicetype"])
	place := Place{Bus: s.bus, Controller: s.controller, Unit: s.unit, Device: s.String()}
	if s.bus == "scsi" {
		place.Model = strings.ToLower(r.dict[fmt.Sprintf("scsi%d.virtualdev", s.controller)])
	}
	empty := file == "" || strings.EqualFold(file, "emptyBackingString")
	switch {
	case strings.Contains(kind, "cdrom"), strings.HasSuffix(strings.ToLower(file), ".iso"):
		drive := Removable{Place: place, Kind: "cdrom"}
		if kind != "cdrom-raw" && kind != "atapi-cdrom" && !empty { // those are drives of the host
			drive.File = file
		}
		r.vm.Removables = append(r.vm.Removables, drive)
	case empty:
	case kind == "", strings.Contains(kind, "disk"):
		// VMware never probes: what a VMX file names is a VMDK.
		d := Disk{Place: place, File: file, Format: "vmdk"}
		d.ReadOnly = r.dict.yes(s.String() + ".readonly")
		if mode := strings.ToLower(r.dict[s.String()+".mode"]); strings.Contains(mode, "nonpersistent") {
			r.warn.add("disk %s forgets its changes there (mode %s); the copy will not", s, mode)
		}
		r.vm.Disks = append(r.vm.Disks, d)
	default:
		r.warn.add("drive %s of type %s is not carried over", s, short(kind))
	}
}

func (r *vmxReader) nics() {
	for i := range 10 {
		prefix := fmt.Sprintf("ethernet%d.", i)
		if !r.dict.yes(prefix + "present") {
			continue
		}
		nic := NIC{
			Model:   strings.ToLower(r.dict[prefix+"virtualdev"]),
			Type:    strings.ToLower(r.dict[prefix+"connectiontype"]),
			Network: r.dict[prefix+"networkname"],
		}
		if nic.Model == "vlance" {
			nic.Model = "pcnet"
		}
		if nic.Network == "" {
			nic.Network = r.dict[prefix+"vnet"]
		}
		nic.MAC = macAddress(r.dict[prefix+"address"])
		if !strings.EqualFold(r.dict[prefix+"addresstype"], "static") && nic.MAC == "" {
			nic.MAC = macAddress(r.dict[prefix+"generatedaddress"])
		}
		r.vm.NICs = append(r.vm.NICs, nic)
	}
}

// unknown names what a guest may miss; a VMX file has hundreds of settings of its
// host besides.
func (r *vmxReader) unknown() {
	for i := range 16 {
		if key := fmt.Sprintf("pcipassthru%d.present", i); r.dict.yes(key) {
			r.warn.add("%s: a device of the host is not carried over", strings.TrimSuffix(key, ".present"))
		}
	}
	for i := range 4 {
		if key := fmt.Sprintf("sharedfolder%d.present", i); r.dict.yes(key) {
			r.warn.add("%s is not carried over", strings.TrimSuffix(key, ".present"))
		}
	}
}
