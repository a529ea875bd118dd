package vmdef

// VM is a virtual machine: what a hypervisor must know to start a guest that it
// has never seen. Zero fields are unknown and left to the hypervisor. Models and
// buses have the names that QEMU and libvirt give them, whatever the source is.
type VM struct {
	Name       string `json:"name,omitempty"`
	Title      string `json:"title,omitempty"`    // what runs in it: "Debian GNU/Linux 12 (bookworm)"
	UUID       string `json:"uuid,omitempty"`     // lower case, with dashes
	OSID       string `json:"os_id,omitempty"`    // of libosinfo: "http://debian.org/debian/12"
	GuestOS    string `json:"guest_os,omitempty"` // as the source spelt it: "debian10_64Guest", "RedHat_64", "96"
	Arch       string `json:"arch,omitempty"`     // "x86_64"
	Machine    string `json:"machine,omitempty"`  // "q35", "pc", "virt", or as the source spelt it
	Virt       string `json:"virt,omitempty"`     // of Xen: "hvm", "pv", "pvh"; others have one way only
	Firmware   string `json:"firmware,omitempty"` // "bios" or "efi"
	SecureBoot bool   `json:"secure_boot,omitempty"`
	TPM        string `json:"tpm,omitempty"`   // "1.2", "2.0", or "present" when the source gives no version
	NVRAM      string `json:"nvram,omitempty"` // file of the firmware's variables, as the source names it
	CPUs       CPUs   `json:"cpus,omitzero"`
	Memory     int64  `json:"memory,omitempty"` // bytes
	GenID      string `json:"gen_id,omitempty"` // VM generation ID, a UUID
	Serial     string `json:"serial,omitempty"` // of the machine, in SMBIOS

	Disks      []Disk      `json:"disks,omitempty"`
	Removables []Removable `json:"removables,omitempty"`
	NICs       []NIC       `json:"nics,omitempty"`
	Kernel     *Kernel     `json:"kernel,omitempty"`  // direct boot, for a disk without a boot loader
	Console    bool        `json:"console,omitempty"` // a serial console
}

// CPUs is the number of processors and their arrangement.
type CPUs struct {
	Count          int `json:"count,omitempty"`
	Sockets        int `json:"sockets,omitempty"`
	CoresPerSocket int `json:"cores_per_socket,omitempty"` // logical processors of one socket
}

// Place is where a drive is attached.
type Place struct {
	Bus        string `json:"bus,omitempty"`        // "virtio", "scsi", "sata", "ide", "nvme", "xen", "usb", "fdc"
	Model      string `json:"model,omitempty"`      // of the controller: "lsilogic", "lsisas1068", "pvscsi", "virtio-scsi", "ahci"
	Controller int    `json:"controller,omitempty"` // number of the controller on its bus, from 0
	Unit       int    `json:"unit,omitempty"`       // on the controller, from 0
	Device     string `json:"device,omitempty"`     // the source's name of it: "vda", "hdc", "scsi0:1"
	Boot       int    `json:"boot,omitempty"`       // place in the boot order, from 1; 0 is unknown or none
}

// Disk is one disk, in the order that the guest sees. A disk with neither File
// nor Remote is blank, and the hypervisor has to make it, of Size.
type Disk struct {
	Place
	File        string   `json:"file,omitempty"`        // as the description names it
	Parts       []string `json:"parts,omitempty"`       // the files that File was cut into, in order
	Compression string   `json:"compression,omitempty"` // of File as a whole: "gzip"
	Remote      string   `json:"remote,omitempty"`      // what no file holds: "rbd pool/image"
	Format      string   `json:"format,omitempty"`      // "qcow2"; empty: the description does not say
	Size        int64    `json:"size,omitempty"`        // bytes that the guest sees
	FileSize    int64    `json:"file_size,omitempty"`   // bytes of File
	Populated   int64    `json:"populated,omitempty"`   // bytes that hold data
	ReadOnly    bool     `json:"read_only,omitempty"`
	Serial      string   `json:"serial,omitempty"`
}

// Blank reports whether the disk has no content yet.
func (d Disk) Blank() bool { return d.File == "" && d.Remote == "" }

// Removable is a drive for media.
type Removable struct {
	Place
	Kind string `json:"kind"`           // "cdrom" or "floppy"
	File string `json:"file,omitempty"` // what lies in it, as the description names it
}

// NIC is a network interface.
type NIC struct {
	MAC     string `json:"mac,omitempty"`     // lower case; empty lets the hypervisor choose
	Model   string `json:"model,omitempty"`   // "virtio", "e1000", "e1000e", "vmxnet3", "pcnet", "rtl8139", "netfront"
	Type    string `json:"type,omitempty"`    // how it is connected: "network", "bridge", "nat", …
	Network string `json:"network,omitempty"` // name of the network or bridge
}

// Kernel is started by the hypervisor itself.
type Kernel struct {
	Image     string `json:"image,omitempty"` // file of the host
	Initramfs string `json:"initramfs,omitempty"`
	Args      string `json:"args,omitempty"`
}

// spread fills in what follows from two of the three numbers.
func (c CPUs) spread() CPUs {
	switch {
	case c.Count == 0 && c.Sockets > 0 && c.CoresPerSocket > 0 && c.Sockets <= maxCPUs/c.CoresPerSocket:
		c.Count = c.Sockets * c.CoresPerSocket
	case c.Sockets == 0 && c.CoresPerSocket > 0 && c.Count%c.CoresPerSocket == 0:
		c.Sockets = c.Count / c.CoresPerSocket
	}
	return c
}

// maxCPUs is more than any hypervisor has; a larger number is nonsense.
const maxCPUs = 1 << 16
