package vmdef

import "strings"

// virtualBox reads VirtualBox's own description of the machine, which it puts
// beside the standard one; that one has no firmware.
func (s *ovfSystem) virtualBox(m *element) {
	s.vm.UUID = strings.ToLower(strings.Trim(m.attr("uuid"), "{}"))
	hw := m.child("Hardware")
	firmware := hw.child("Firmware")
	switch kind := firmware.attr("type"); {
	case strings.HasPrefix(kind, "EFI"):
		s.vm.Firmware = "efi"
	case kind == "" || kind == "BIOS": // it leaves the default out
		s.vm.Firmware = "bios"
	}
	bios := hw.child("BIOS")
	nvram := bios.child("NVRAM")
	s.vm.NVRAM = nvram.attr("path")
	s.vm.SecureBoot = nvram.child("SecureBoot").attr("enabled") == "true" || bios.child("SecureBoot").attr("enabled") == "true"
	switch tpm := bios.child("TrustedPlatformModule"); tpm.attr("type") {
	case "v1_2":
		s.vm.TPM = "1.2"
	case "v2_0":
		s.vm.TPM = "2.0"
	}
	switch strings.ToUpper(hw.child("Chipset").attr("type")) {
	case "ICH9":
		s.vm.Machine = "q35"
	case "PIIX3", "":
		s.vm.Machine = "pc"
	}
	s.virtualBoxMACs(hw)
}

// virtualBoxMACs gives the addresses of the adapters that are on, in the order of
// their slots, to the items, which have none but stand in that order.
func (s *ovfSystem) virtualBoxMACs(hw *element) {
	next := 0
	for _, adapter := range hw.child("Network").all("Adapter") {
		if adapter.attr("enabled") != "true" || next == len(s.vm.NICs) {
			continue
		}
		if nic := &s.vm.NICs[next]; nic.MAC == "" {
			nic.MAC = macAddress(adapter.attr("MACAddress"))
		}
		next++
	}
}

// xenSetting applies one entry of XenServer's own data: <… Name="key"><Value>.
// Its values are lists of "key=value" for a map of the XenAPI.
func (s *ovfSystem) xenSetting(e *element) {
	key, value := e.attr("Name"), e.child("Value").text
	if key == "" {
		key = e.child("Name").text
	}
	fields := map[string]string{}
	for _, pair := range strings.FieldsFunc(value, func(r rune) bool { return r == ';' || r == ',' }) {
		k, v, _ := strings.Cut(pair, "=")
		fields[strings.TrimSpace(k)] = strings.TrimSpace(v)
	}
	switch key {
	case "HVM_boot_params":
		switch fields["firmware"] {
		case "uefi":
			s.vm.Firmware = "efi"
		case "bios":
			s.vm.Firmware = "bios"
		}
	case "platform":
		s.vm.SecureBoot = fields["secureboot"] == "true"
	case "HVM_boot_policy":
		if value != "" {
			s.vm.Virt = "hvm"
		}
	case "PV_bootloader":
		if value != "" {
			s.vm.Virt = "pv"
		}
	}
}

// ovirtDisk reads what oVirt says in attributes of its own. Its sizes are GiB.
func (r *ovfReader) ovirtDisk(e *element, d *Disk) {
	if d.Size == 0 {
		d.Size = r.size(e, "size", e.attr("size"), "", 1<<30)
	}
	switch strings.ToUpper(e.attr("volume-format")) {
	case "COW":
		d.Format = "qcow2"
	case "RAW":
		d.Format = "raw"
	}
	d.ReadOnly = e.attr("read-only") == "true"
	if e.attr("boot") == "true" {
		d.Boot = 1
	}
	switch strings.ToLower(e.attr("disk-interface")) {
	case "virtio":
		d.Bus = "virtio"
	case "virtio_scsi":
		d.Bus, d.Model = "scsi", "virtio-scsi"
	case "ide":
		d.Bus = "ide"
	case "sata":
		d.Bus = "sata"
	}
}

// ovirtFirmware reads oVirt's number of chipset and firmware; 0 is the cluster's.
func (s *ovfSystem) ovirtFirmware(number string) {
	switch number {
	case "1":
		s.vm.Machine, s.vm.Firmware = "pc", "bios"
	case "2":
		s.vm.Machine, s.vm.Firmware = "q35", "bios"
	case "3":
		s.vm.Machine, s.vm.Firmware = "q35", "efi"
	case "4":
		s.vm.Machine, s.vm.Firmware, s.vm.SecureBoot = "q35", "efi", true
	}
}

// ovirtNICModel names oVirt's number of a model.
func ovirtNICModel(number string) string {
	switch number {
	case "1":
		return "rtl8139"
	case "2":
		return "e1000"
	case "3":
		return "virtio"
	case "6":
		return "e1000e"
	}
	return ""
}
