// Package vmdef describes a virtual machine, in one form that every hypervisor's
// own description can be read into and written from.
package vmdef

// VM is a virtual machine: what a hypervisor must know to start a guest that it
// has never seen. Zero fields are unknown and left to the hypervisor.
type VM struct {
	Name     string
	Title    string // what runs in it: "Debian GNU/Linux 12 (bookworm)"
	OSID     string // of libosinfo: "http://debian.org/debian/12"
	Arch     string // "x86_64"
	Machine  string // "q35", "pc", "virt"
	Firmware string // "bios" or "efi"
	MemoryMB int
	CPUs     int
	Disks    []Disk
	NICs     []NIC
	Kernel   *Kernel // direct boot, for a disk without a boot loader
	Console  bool    // a serial console
}

// Disk is one disk in the order that the guest sees.
type Disk struct {
	File   string // as the description names it: a path, absolute where known
	Format string // "qcow2"
	Bus    string // "virtio"
	Device string // "vda"
	Boot   bool   // the firmware starts from it
}

// NIC is a network interface.
type NIC struct {
	MAC   string // empty lets the hypervisor choose
	Model string // "virtio"
}

// Kernel is started by the hypervisor itself.
type Kernel struct {
	Image, Initramfs string // files of the host
	Args             string
}
