package vmdef

import "strings"

// system reads one virtual system.
func (r *ovfReader) system(e *element) error {
	s := &ovfSystem{ovfReader: r}
	s.vm.Name = e.child("Name").text
	if s.vm.Name == "" {
		s.vm.Name = e.attr("id")
	}
	hardware := false
	for _, c := range e.children {
		switch kind := sectionKind(c); kind {
		case "OperatingSystemSection":
			s.operatingSystem(c)
		case "VirtualHardwareSection":
			if hardware {
				r.warn.add("line %d: a second hardware section is not used", c.line)
				continue
			}
			hardware = true
			s.hardware(c)
		case "Machine":
			if c.space == "vbox" {
				s.virtualBox(c)
			}
		case "BiosType":
			s.ovirtFirmware(c.text)
		case "Info", "Name", "ProductSection", "EulaSection", "AnnotationSection", "Description":
		default:
			if !r.ovirt { // it lists a hundred settings of its own there
				r.unknownSection(c, kind)
			}
		}
	}
	if !hardware {
		r.warn.add("line %d: system %s has no hardware section", e.line, short(s.vm.Name))
	}
	r.out.Systems = append(r.out.Systems, s.vm)
	return nil
}

// ovfSystem is one virtual system while it is read.
type ovfSystem struct {
	*ovfReader
	vm          VM
	controllers map[string]Place // by instance id
	perBus      map[string]int   // controllers seen
}

// operatingSystem keeps the producer's own word for the guest, and else the number
// of CIM_OperatingSystem.
func (s *ovfSystem) operatingSystem(e *element) {
	s.vm.Title = e.child("Description").text
	s.vm.GuestOS = e.attr("osType")
	for _, c := range e.children {
		if c.name == "OSType" && s.vm.GuestOS == "" {
			s.vm.GuestOS = c.text
		}
	}
	id := e.attr("id")
	switch {
	case s.vm.GuestOS != "":
		if s.vm.Title == s.vm.GuestOS { // VirtualBox says it twice
			s.vm.Title = ""
		}
	case s.ovirt:
		s.vm.GuestOS, s.vm.Title = s.vm.Title, ""
		if len(id) == len("00000000-0000-0000-0000-000000000000") {
			s.vm.UUID = strings.ToLower(id)
		}
	default:
		s.vm.GuestOS = id
	}
}

// setting applies a key of VMware's extension of the hardware section.
func (s *ovfSystem) setting(e *element) {
	value := e.attr("value")
	switch strings.ToLower(e.attr("key")) {
	case "firmware":
		s.vm.Firmware = strings.ToLower(value)
	case "bootoptions.efisecurebootenabled", "uefi.secureboot.enabled":
		s.vm.SecureBoot = strings.EqualFold(value, "true")
	case "nvram":
		if f := s.file(strings.TrimPrefix(value, "ovf:/file/")); f != nil {
			s.vm.NVRAM = f.Name
		}
	}
}

// systemType is the family of virtual hardware; only Xen's says how it runs.
func (s *ovfSystem) systemType(kind string) {
	switch {
	case strings.HasPrefix(kind, "hvm-3"):
		s.vm.Virt = "hvm"
	case strings.HasPrefix(kind, "xen-3"):
		s.vm.Virt = "pv"
	}
}
