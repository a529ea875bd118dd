package vmdef

import "strings"

// guestIDs are names of one family of systems: its numbers in CIM_OperatingSystem
// and the word of VMware for 64 bits. The words are of ESXi 6.5, which is what
// hardware family 13 came with; a newer one would be refused there.
var guestIDs = []struct {
	osinfo string // prefix of libosinfo's id
	cim    int    // of 64 bits
	cim32  int
	vmware string
}{
	{"http://debian.org/debian/", 96, 95, "debian10_64Guest"},
	{"http://ubuntu.com/ubuntu/", 94, 93, "ubuntu64Guest"},
	{"http://redhat.com/rhel/", 80, 79, "rhel7_64Guest"},
	{"http://centos.org/centos/", 107, 106, "centos7_64Guest"},
	{"http://rockylinux.org/", 107, 106, "centos7_64Guest"},
	{"http://almalinux.org/", 107, 106, "centos7_64Guest"},
	{"http://fedoraproject.org/", 101, 36, "fedora64Guest"},
	{"http://suse.com/", 85, 84, "sles12_64Guest"},
	{"http://opensuse.org/", 83, 82, "opensuse64Guest"},
	{"http://microsoft.com/win/2k16", 116, 116, "windows9Server64Guest"},
	{"http://microsoft.com/win/2k12", 112, 112, "windows8Server64Guest"},
	{"http://microsoft.com/win/", 120, 119, "windows9_64Guest"},
}

// ovfGuest names the guest's system. A word of VMware's from an OVF or VMX source
// is kept; an unknown system is a 64-bit one of a general kind.
func (vm VM) ovfGuest() ovfOS {
	os := ovfOS{ID: 102, Type: "otherGuest64", Info: "The guest's operating system", Description: vm.Title}
	narrow := vm.Arch == "i686"
	if narrow {
		os.ID, os.Type = 1, "otherGuest"
	}
	if vm.OSID == "" && (strings.HasSuffix(vm.GuestOS, "Guest") || strings.HasSuffix(vm.GuestOS, "Guest64")) {
		os.Type = vm.GuestOS
	}
	for _, g := range guestIDs {
		switch {
		case !strings.HasPrefix(vm.OSID, g.osinfo):
			continue
		case narrow:
			os.ID, os.Type = g.cim32, strings.TrimSuffix(strings.TrimSuffix(g.vmware, "64Guest"), "_")+"Guest"
		default:
			os.ID, os.Type = g.cim, g.vmware
		}
		break
	}
	return os
}
