package edit

import (
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

func testNames(spec ...guest.Filesystem) Job {
	needs := kvm()
	needs.Args = []string{"net.ifnames=0"}
	return Job{Needs: needs, Facts: &guest.Facts{Filesystems: spec}}
}

func TestKernelArgs(t *testing.T) {
	job := testNames(
		guest.Filesystem{Volume: "sda1", Number: 1, UUID: "u1", PartUUID: "p1"},
		guest.Filesystem{Volume: "sda2", Number: 2},
	)
	tests := []struct{ line, with, without string }{
		{"root=/dev/xvda1 ro quiet", "root=UUID=u1 ro quiet", "root=PARTUUID=p1 ro quiet"},
		{"root=/dev/sda2", "root=/dev/vda2", "root=/dev/vda2"},
		{"root=/dev/xvdz9 ro", "root=/dev/xvdz9 ro", "root=/dev/xvdz9 ro"},
		{"root=LABEL=x resume=/dev/xvda2", "root=LABEL=x resume=/dev/vda2", "root=LABEL=x resume=/dev/vda2"},
		{"console=tty0 console=hvc0", "console=tty0 console=ttyS0", "console=tty0 console=ttyS0"},
		{"console=ttyS0,115200n8 console=hvc0", "console=ttyS0,115200n8", "console=ttyS0,115200n8"},
		{"console=hvc0 console=ttyS0", "console=ttyS0", "console=ttyS0"},
		{"console=hvc0 console=xvc0", "console=ttyS0", "console=ttyS0"},
		{"earlyprintk=xen xencons=tty earlyprintk=vga clocksource=xen", "earlyprintk=vga", "earlyprintk=vga"},
		{"modprobe.blacklist=nouveau,virtio-blk rd.driver.blacklist=virtio_pci", "modprobe.blacklist=nouveau", "modprobe.blacklist=nouveau"},
		{"cryptdevice=/dev/xvda1:root:allow-discards cryptkey=/dev/sda2:ext4:/k", "cryptdevice=/dev/disk/by-uuid/u1:root:allow-discards cryptkey=/dev/vda2:ext4:/k",
			"cryptdevice=/dev/disk/by-uuid/u1:root:allow-discards cryptkey=/dev/vda2:ext4:/k"},
		{"cryptopts=target=root,source=/dev/sda1,lvm=vg cryptdevice=/dev/sdz1:x", "cryptopts=target=root,source=/dev/disk/by-uuid/u1,lvm=vg cryptdevice=/dev/sdz1:x",
			"cryptopts=target=root,source=/dev/disk/by-uuid/u1,lvm=vg cryptdevice=/dev/sdz1:x"},
		{`dyndbg="file a +p; x"`, `dyndbg="file a +p; x"`, `dyndbg="file a +p; x"`},
	}
	for _, test := range tests {
		for initramfs, want := range map[bool]string{true: test.with, false: test.without} {
			got := KernelArgs(job, test.line, initramfs)
			if want = strings.TrimSpace(want + " net.ifnames=0"); got != want {
				t.Errorf("%s (initramfs %t):\n%s, want\n%s", test.line, initramfs, got, want)
			}
			if again := KernelArgs(job, got, initramfs); again != got {
				t.Errorf("%s: a second run gives %s", got, again)
			}
		}
	}
}

func TestResolve(t *testing.T) {
	job := testNames(guest.Filesystem{Volume: "sda1", Number: 1, UUID: "Ab", Label: "root", PartUUID: "p1"})
	for spec, want := range map[string]bool{
		"UUID=aB": true, "UUID=ab1": false, `LABEL="root"`: true, "PARTUUID=p1": true, "/dev/disk/by-uuid/Ab": true,
		"/dev/vda1": true, "/dev/xvda1": false, "/dev/sda1": false, "/dev/vdb1": false, "LABEL=": false,
	} {
		if got := Resolve(job.Facts, job.Needs, spec) != nil; got != want {
			t.Errorf("%s: %t", spec, got)
		}
	}
}

func TestPosition(t *testing.T) {
	for spec, want := range map[string][3]int{
		"/dev/sda": {0, 0, 1}, "/dev/xvdb3": {1, 3, 1}, "/dev/vdaa1": {26, 1, 1}, "/dev/nvme1n1p2": {1, 2, 1},
		"/dev/mmcblk0p1": {0, 1, 1}, "/dev/ubd2": {2, 0, 1}, "/dev/ubdb1": {1, 1, 1}, "/dev/md0": {}, "/dev/sda99999": {},
		"/dev/sdaaaaaaaaaaaaaaaa": {},
	} {
		disk, partition, ok := position(spec)
		got := [3]int{disk, partition, 1}
		if !ok {
			got = [3]int{}
		}
		if got != want {
			t.Errorf("%s: %v, want %v", spec, got, want)
		}
	}
	if got := partitionName("nvme0n1", 2); got != "/dev/nvme0n1p2" {
		t.Error(got)
	}
}

func TestStale(t *testing.T) {
	for spec, want := range map[string]bool{
		"/dev/xvda1": true, "/dev/nvme0n1p1": true, "/dev/cciss/c0d0p1": true, "/dev/disk/by-path/pci-0-part1": true,
		"/dev/disk/by-id/scsi-36000-part1": true, "/dev/disk/by-id/dm-uuid-LVM-x": false, "/dev/disk/by-uuid/x": false,
		"/dev/mapper/vg-root": false, "/dev/md0": false, "/dev/sr0": false, "UUID=x": false, "/dev/xvda1x": false,
	} {
		if stale(spec) != want {
			t.Errorf("%s: %t", spec, !want)
		}
	}
}
