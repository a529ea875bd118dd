package guest

// Facts is what a guest is. It is plain data with stable JSON names; slices are
// in a fixed order, so that the same guest gives the same facts.
type Facts struct {
	Root        string       `json:"root"` // volume ID of "/": "sda1"; empty when no system was found
	OS          OS           `json:"os"`
	Mounts      []Mount      `json:"mounts"` // resolved entries of fstab, "/" first
	Swaps       []Mount      `json:"swaps,omitempty"`
	Kernels     []Kernel     `json:"kernels"`
	Loaders     []Loader     `json:"loaders"`
	Firmware    Firmware     `json:"firmware"`
	Filesystems []Filesystem `json:"filesystems"` // every volume that holds one, mounted or not
	NICs        []NIC        `json:"nics,omitempty"`
	Packages    []Package    `json:"packages,omitempty"`
	SELinux     *SELinux     `json:"selinux,omitempty"` // nil without a configuration of it
	// Hibernated is the swap space that holds the memory of a system that is to
	// resume: its filesystems must not be edited.
	Hibernated string   `json:"hibernated,omitempty"`
	Warnings   []string `json:"warnings,omitempty"` // "fstab line 7: /dev/sdq1 is on none of the disks"
}

// OS says which system it is. Fields that could not be read are empty.
type OS struct {
	Type           string `json:"type"`   // "linux"
	Distro         string `json:"distro"` // ID of os-release: "debian"
	Family         string `json:"family"` // "debian", "rhel", "suse", …; "unknown"
	Name           string `json:"name"`   // PRETTY_NAME or the release file's line
	Version        string `json:"version,omitempty"`
	Major          int    `json:"major"`
	Minor          int    `json:"minor"`
	Arch           string `json:"arch"` // of the userland, as `uname -m` says it: "x86_64"
	Hostname       string `json:"hostname,omitempty"`
	MachineID      string `json:"machine_id,omitempty"`
	Init           string `json:"init,omitempty"` // "systemd", "sysv", "upstart", "openrc", …
	PackageFormat  string `json:"package_format,omitempty"`
	PackageManager string `json:"package_manager,omitempty"`
}

// Mount is one entry of fstab.
type Mount struct {
	Path    string `json:"path"`   // "/", "/boot"; "swap" for swap space
	Volume  string `json:"volume"` // volume ID; empty when it resolves to none
	Spec    string `json:"spec"`   // as fstab says it: "/dev/xvda1"
	Type    string `json:"type"`
	Options string `json:"options"`
	Line    int    `json:"line"` // of /etc/fstab, from 1; 0 when not from there: an EFI system partition that it does not mount
}

// Filesystem is a volume with a recognised content.
type Filesystem struct {
	Volume    string `json:"volume"`
	Disk      int    `json:"disk"`
	Number    int    `json:"number,omitempty"` // partition; -1 is neither that nor a disk
	Type      string `json:"type"`
	UUID      string `json:"uuid,omitempty"`
	Label     string `json:"label,omitempty"`
	PartUUID  string `json:"partuuid,omitempty"`
	PartLabel string `json:"partlabel,omitempty"`
	Size      int64  `json:"size"`
	ReadOnly  string `json:"read_only,omitempty"` // why vmconv cannot edit it
	// Names are the device files of a logical volume or an array.
	Names []string `json:"names,omitempty"`
	// Layers are what it lies in besides a partition, the nearest first.
	Layers []Layer `json:"layers,omitempty"`
	// Features are what its superblock says that readers must know.
	Features []string `json:"features,omitempty"`
	// Replayed: its journal holds changes that are not at their places yet.
	Replayed bool `json:"replayed,omitempty"`
}

// Kernel is an installed kernel: a module tree, an image, or both.
type Kernel struct {
	Version   string   `json:"version"`             // "6.1.0-18-amd64"
	Modules   string   `json:"modules,omitempty"`   // "/lib/modules/6.1.0-18-amd64", links resolved
	Image     string   `json:"image,omitempty"`     // "/boot/vmlinuz-6.1.0-18-amd64"
	Initramfs string   `json:"initramfs,omitempty"` // as the boot entry names it, else by pattern
	Config    string   `json:"config,omitempty"`    // "/boot/config-…"
	Arch      string   `json:"arch,omitempty"`      // of the kernel
	Generator string   `json:"generator,omitempty"` // of its initramfs: "initramfs-tools", "dracut"
	Args      string   `json:"args,omitempty"`      // command line of its boot entry
	Default   bool     `json:"default,omitempty"`
	XenOnly   bool     `json:"xen_only,omitempty"` // runs as a Xen PV guest and nothing else
	Entries   []string `json:"entries,omitempty"`  // titles of the boot entries that start it
}

// Loader is a boot loader whose configuration was found.
type Loader struct {
	Kind      string   `json:"kind"`                // "grub2", "grub-legacy", "systemd-boot", "extlinux", …
	Config    string   `json:"config"`              // "/boot/grub/grub.cfg"
	Env       string   `json:"env,omitempty"`       // "/boot/grub/grubenv"
	Inputs    []string `json:"inputs,omitempty"`    // what the next regeneration reads: "/etc/default/grub"
	Installed bool     `json:"installed,omitempty"` // its boot code is on the disk that the firmware starts
}

// Firmware is what the disk can be started by, with the evidence for it.
type Firmware struct {
	BIOS     bool     `json:"bios"`
	UEFI     bool     `json:"uefi"`
	Evidence []string `json:"evidence,omitempty"`
	ESPs     []ESP    `json:"esps,omitempty"` // EFI system partitions that can be read
}

// NIC is a network interface that the guest's own configuration names.
type NIC struct {
	Name    string `json:"name"`              // "eth0"
	MAC     string `json:"mac,omitempty"`     // lower case with colons; empty when no file tells
	Source  string `json:"source"`            // file that names it
	Address string `json:"address,omitempty"` // "dhcp" or "192.0.2.7/24"
}

// Package is an installed package.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch"`
}
