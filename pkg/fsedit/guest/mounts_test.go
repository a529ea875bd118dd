package guest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// twoDisks is a partitioned disk and one that is swap as a whole.
var twoDisks = []Filesystem{
	{Volume: "sda1", Disk: 0, Number: 1, Type: "ext4", UUID: "1111-A", Label: "boot", PartUUID: "4f1c7d2a-01", PartLabel: "boot part"},
	{Volume: "sda2", Disk: 0, Number: 2, Type: "ext4", UUID: "2222-b", Label: "ro ot", PartUUID: "4f1c7d2a-02"},
	{Volume: "sda5", Disk: 0, Number: 5, Type: "vfat", UUID: "0E6A-3C23"},
	{Volume: "sdb", Disk: 1, Type: "swap", UUID: "3333"},
}

func TestDevices(t *testing.T) {
	two, one := NewDevices(twoDisks), NewDevices(twoDisks[:3])
	for spec, want := range map[string]string{
		"UUID=1111-a": "sda1", "UUID=2222-B": "sda2", "/dev/disk/by-uuid/0e6a-3c23": "sda5", "LABEL=boot": "sda1",
		`/dev/disk/by-label/ro\x20ot`: "sda2", "LABEL=BOOT": "", "PARTUUID=4F1C7D2A-02": "sda2", "PARTLABEL=boot part": "sda1",
		`/dev/disk/by-partlabel/boot\x20part`: "sda1", "/dev/disk/by-partuuid/4f1c7d2a-01": "sda1", "UUID=": "", "LABEL=": "",
		"/dev/sda1": "sda1", "/dev/xvda2": "sda2", "/dev/hda5": "sda5", "/dev/vdb": "sdb", "/dev/xvdb1": "", "/dev/sdaa1": "",
		"/dev/nvme0n1p2": "sda2", "/dev/nvme1n1": "sdb", "/dev/nvme0n2": "sdb", "/dev/mmcblk0p1": "sda1", "/dev/cciss/c0d0p2": "sda2",
		"/dev/md0": "", "/dev/mapper/vg-root": "", "/dev/dm-0": "", "/dev/sr0": "", "/dev/sda": "", "tmpfs": "", "": "", "/dev/disk/x": "",
		"/dev/disk/by-id/scsi-0QEMU-part2": "", "/dev/sda1 ": "", "/dev/ubda1": "sda1", "/dev/sdzzzz1": "",
	} {
		if got := strings.Join(two.Find(spec), ","); got != want {
			t.Errorf("%q is %q, not %q", spec, got, want)
		}
	}
	for spec, want := range map[string]string{
		"/dev/disk/by-id/scsi-0QEMU-part2": "sda2", "/dev/disk/by-path/pci-0000:00:07.1-ide-0:0-part5": "sda5",
		"/dev/disk/by-id/dm-name-vg-root": "", "/dev/disk/by-id/ata-X-partx": "",
	} {
		if got := strings.Join(one.Find(spec), ","); got != want {
			t.Errorf("%q is %q, not %q", spec, got, want)
		}
	}
}

func resolve(fstab string, list []Filesystem, root string) (string, []string) {
	m := resolveFstab(parseFstab([]byte(fstab)), NewDevices(list), root)
	var out []string
	for _, x := range slices.Concat(m.mounts, m.swaps) {
		out = append(out, fmt.Sprintf("%s=%s:%d", x.Path, x.Volume, x.Line))
	}
	return strings.Join(out, " "), m.warnings
}

func TestResolveFstab(t *testing.T) {
	bare := []Filesystem{{Volume: "sda", Disk: 0, Type: "ext4"}}
	bareSwap := append(bare, Filesystem{Volume: "sdb", Disk: 1, Type: "swap"})
	for _, c := range []struct {
		name, fstab string
		list        []Filesystem
		root, want  string
		warnings    int
	}{
		{"usual", "# x\n\nproc /proc proc defaults 0 0\nUUID=2222-b / ext4 ro 0 1\nLABEL=boot /boot ext4\n/dev/xvdb none swap sw\n", twoDisks, "sda2", "/=sda2:4 /boot=sda1:5 swap=sdb:6", 0},
		{"order, slashes, escapes, quotes", "LABEL=\"boot\" /data\\040disk/ ext4 defaults 0 0\r\n  /dev/sda2\t/\text4\n", twoDisks, "sda2", "/=sda2:2 /data disk=sda1:1", 0},
		{"skipped", "/dev/fd0 /media/floppy auto\n/dev/cdrom /mnt/cd iso9660\n/dev/sda1 /media/x ext4\nhost:/x /n nfs\n//h/s /c cifs\n" +
			"/dev/sda1 /sys/x ext4\n/a /b none bind\nnone /t tmpfs\n/dev/sda2 / ext4\n/swapfile none swap sw\nUUID=1111-A\n", twoDisks, "sda2", "/=sda2:9", 0},
		{"twice", "/dev/sda2 / ext4\n/dev/sda1 / ext4\n", twoDisks, "sda2", "/=sda2:1", 1},
		{"nowhere", "/dev/sda2 / ext4\n/dev/sdq1 /srv ext4\n", twoDisks, "sda2", "/=sda2:1 /srv=:2", 1},
		{"another root", "/dev/sda1 / ext4\n", twoDisks, "sda2", "/=sda2:1", 1},
		{"no root", "/dev/sda1 /boot ext4\n", twoDisks, "sda2", "/=sda2:0 /boot=sda1:1", 0},
		{"dev root", "/dev/root / ext4\n", twoDisks, "sda2", "/=sda2:1", 0},
		{"bare as xvda", "/dev/xvda / ext4\n", bare, "sda", "/=sda:1", 0},
		{"bare as xvda1", "/dev/xvda1 / ext4\n", bare, "sda", "/=sda:1", 0},
		{"bare as sda1", "/dev/sda1 / ext3\n/dev/sda2 none swap\n", bare, "sda", "/=sda:1 swap=:2", 1},
		{"bare root and swap", "/dev/xvda2 / ext4\n/dev/xvda1 none swap\n", bareSwap, "sda", "/=sda:1 swap=sdb:2", 0},
		{"bare, by letter", "/dev/xvda / ext4\n/dev/xvdb none swap\n", bareSwap, "sda", "/=sda:1 swap=sdb:2", 0},
		{"bare, two of a kind", "/dev/xvda1 / ext4\n/dev/xvda2 /a ext4\n/dev/xvda3 /b ext4\n",
			append(bare, Filesystem{Volume: "sdb", Disk: 1, Type: "ext4"}), "sda", "/=sda:1 /a=:2 /b=:3", 2},
		{"from xvde", "/dev/xvde2 / ext4\n/dev/xvde1 /boot ext4\n/dev/xvdf none swap\n", twoDisks, "sda2", "/=sda2:1 /boot=sda1:2 swap=sdb:3", 0},
		{"copies", "UUID=1 / ext4\nUUID=1 /b ext4\n", []Filesystem{{Volume: "sda1", UUID: "1"}, {Volume: "sdb1", UUID: "1"}}, "sdb1", "/=sdb1:1 /b=sda1:2", 1},
	} {
		got, warnings := resolve(c.fstab, c.list, c.root)
		if got != c.want || len(warnings) != c.warnings {
			t.Errorf("%s: %s, not %s; warnings %q", c.name, got, c.want, warnings)
		}
	}
}

func FuzzFstab(f *testing.F) {
	f.Add("/dev/xvda1 / ext4 defaults 0 1\nLABEL=\"a\\040b\" /x swap sw,bind\n/dev/disk/by-id/x-part2 /y auto\n")
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Count(text, "\n") + 1
		m := resolveFstab(parseFstab([]byte(text)), NewDevices(twoDisks), "sda2")
		if m.mounts[0].Path != "/" || m.mounts[0].Volume != "sda2" {
			t.Errorf("root: %+v", m.mounts[0])
		}
		for _, x := range slices.Concat(m.mounts, m.swaps) {
			if x.Line < 0 || x.Line > lines {
				t.Errorf("line %d of %d", x.Line, lines)
			}
		}
	})
}
