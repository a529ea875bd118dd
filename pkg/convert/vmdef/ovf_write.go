package vmdef

import (
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	// hardwareFamily is the oldest that has every device written here; ESXi 6.5 and
	// all later products of VMware import it, and the others do not mind.
	hardwareFamily = "vmx-13"
	streamFormat   = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
	defaultNetwork = "VM Network"
)

// OVF is an OVF 1.0 descriptor of the machine that VMware, VirtualBox and others
// import. Disks are streamOptimized VMDKs: File is their name beside the
// descriptor, Size the guest's bytes, FileSize the file's; a blank disk has no
// File. Drives that are not attached to a controller of VMware (bus scsi, sata,
// ide or nvme) fail, as do remote disks. TPM, NVRAM, boot order and direct boot
// have no place in an envelope that all import. The same machine gives the same
// bytes.
func (vm VM) OVF() ([]byte, error) {
	w := &ovfWriter{vm: vm, next: 1, controllers: map[Place]int{}, used: map[attachment]bool{}}
	const ovf = "http://schemas.dmtf.org/ovf/envelope/1"
	const cim = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
	e := ovfEnvelope{
		Default: ovf, OVF: ovf, RASD: cim + "CIM_ResourceAllocationSettingData",
		VMW: "http://www.vmware.com/schema/ovf", VSSD: cim + "CIM_VirtualSystemSettingData",
		Disks:    ovfDiskList{Info: "Virtual disks"},
		Networks: ovfNetworks{Info: "Logical networks"},
	}
	if err := w.disks(&e); err != nil {
		return nil, err
	}
	w.networks(&e)
	if err := w.system(&e.System); err != nil {
		return nil, err
	}
	text, err := xml.MarshalIndent(e, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("ovf: %w", err)
	}
	return append([]byte(xml.Header), append(text, '\n')...), nil
}

type ovfWriter struct {
	vm          VM
	items       []ovfItem
	next        int           // instance id
	controllers map[Place]int // instance ids, by bus, model and number
	used        map[attachment]bool
}

// attachment is a unit of the controller with an instance id.
type attachment struct{ controller, unit int }

func (w *ovfWriter) disks(e *ovfEnvelope) error {
	for i, d := range w.vm.Disks {
		at := ondisk.At("ovf", "disk", ondisk.NoOffset).In("%d", i)
		if d.Remote != "" || len(d.Parts) > 0 || d.Compression != "" || strings.ContainsAny(d.File, "/\\:%\n") {
			return at.Unsupported("%s is no file beside the descriptor", short(d.File+d.Remote))
		}
		if d.Size <= 0 {
			return at.Unsupported("its size is not known")
		}
		line := ovfDiskLine{Capacity: d.Size, ID: fmt.Sprintf("vmdisk%d", i+1), Format: streamFormat, Populated: d.Populated}
		if d.File != "" {
			line.FileRef = fmt.Sprintf("file%d", i+1)
			e.References.Files = append(e.References.Files, ovfFile{Href: d.File, ID: line.FileRef, Size: d.FileSize})
		}
		e.Disks.Disks = append(e.Disks.Disks, line)
	}
	return nil
}

// networks lists the networks that interfaces are on, each once, in their order.
func (w *ovfWriter) networks(e *ovfEnvelope) {
	seen := map[string]bool{}
	for i := range w.vm.NICs {
		if name := w.network(i); !seen[name] {
			seen[name] = true
			e.Networks.Networks = append(e.Networks.Networks, ovfNetwork{Name: name, Description: "The network " + name})
		}
	}
}

func (w *ovfWriter) network(nic int) string {
	if name := w.vm.NICs[nic].Network; name != "" {
		return name
	}
	return defaultNetwork
}

func (w *ovfWriter) system(s *ovfVirtualBody) error {
	name := w.vm.Name
	if name == "" {
		name = "vm" // importers refuse an empty id
	}
	s.ID, s.Info, s.Name = name, "A virtual machine", name
	s.OS = w.vm.ovfGuest()
	s.Hardware.Info = "Virtual hardware requirements"
	s.Hardware.Family = ovfFamily{ElementName: "Virtual Hardware Family", Identifier: name, Type: hardwareFamily}
	w.cpusAndMemory()
	if err := w.addDrives(); err != nil {
		return err
	}
	w.addNICs()
	s.Hardware.Items = w.items
	if f := w.vm.Firmware; f != "" {
		s.Hardware.Settings = append(s.Hardware.Settings, ovfConfig{"false", "firmware", f})
	}
	if w.vm.SecureBoot {
		s.Hardware.Settings = append(s.Hardware.Settings, ovfConfig{"false", "bootOptions.efiSecureBootEnabled", "true"})
	}
	return nil
}

// add appends an item under the next instance id, which it returns.
func (w *ovfWriter) add(it ovfItem) int {
	it.InstanceID = w.next
	w.next++
	w.items = append(w.items, it)
	return it.InstanceID
}

func (w *ovfWriter) cpusAndMemory() {
	count := max(w.vm.CPUs.Count, 1)
	cpu := ovfItem{
		AllocationUnits: "hertz * 10^6", Description: "Number of virtual CPUs",
		ElementName: fmt.Sprintf("%d virtual CPU(s)", count), ResourceType: resourceCPU, VirtualQuantity: int64(count),
	}
	if cores := w.vm.CPUs.CoresPerSocket; cores > 0 && count%cores == 0 {
		cpu.CoresPerSocket = &ovfPerSocket{"false", cores}
	}
	w.add(cpu)
	mib := (w.vm.memory() + 1<<20 - 1) >> 20
	w.add(ovfItem{
		AllocationUnits: "byte * 2^20", Description: "Memory size", ElementName: fmt.Sprintf("%d MB of memory", mib),
		ResourceType: resourceMemory, VirtualQuantity: mib,
	})
}

func (w *ovfWriter) addNICs() {
	for i, nic := range w.vm.NICs {
		unit := 7 + i // where VMware's own exports begin
		w.add(ovfItem{
			Address: nic.MAC, AddressOnParent: &unit, AutomaticAllocation: "true", Connection: w.network(i),
			Description: "Network adapter", ElementName: fmt.Sprintf("Ethernet %d", i+1),
			ResourceSubType: ovfNIC(nic.Model), ResourceType: resourceEthernet,
		})
	}
}

// ovfNIC is VMware's name of a model. E1000 is the one that every hypervisor has
// and every guest can drive, so it stands for those that VMware has not.
func ovfNIC(model string) string {
	switch model {
	case "vmxnet3":
		return "VmxNet3"
	case "e1000e":
		return "E1000e"
	case "pcnet":
		return "PCNet32"
	}
	return "E1000"
}
