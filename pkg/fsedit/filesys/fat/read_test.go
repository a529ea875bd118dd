//go:build linux

package fat

import (
	"os"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// TestProbe compares what a filesystem is called with blkid(8).
func TestProbe(t *testing.T) {
	for _, row := range mkfsRows {
		image := row.mkfs(t)
		m, id, err := Driver{}.Probe(fsedittest.OpenImage(t, image))
		if err != nil || m != ondisk.Sure {
			t.Fatalf("%s: %v, %v", row.name, m, err)
		}
		told := map[string]string{}
		for line := range strings.Lines(testtool.Run(t, "blkid", "-p", "-o", "export", image)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			told[key] = value
		}
		if id.Type != told["TYPE"] || id.UUID != told["UUID"] || id.Label != told["LABEL"] {
			t.Errorf("%s: %+v, blkid says %v", row.name, id, told)
		}
		if v := open(t, fsedittest.OpenImage(t, image)); v.bits != row.bits || id.Size > row.size || row.size-id.Size > 8*4096 {
			t.Errorf("%s: FAT%d of %d bytes", row.name, v.bits, id.Size)
		}
	}
}

// TestProbeOthers: boot sectors of other kinds are not FAT.
func TestProbeOthers(t *testing.T) {
	for _, c := range []struct{ tool, args string }{
		{"mkfs.ntfs", "-q -F -f"}, {"mkfs.exfat", ""}, {"mke2fs", "-q -t ext4"}, {"mkswap", "-q"}, {"mkfs.btrfs", "-q -f"},
	} {
		image := fsedittest.NewImage(t, 128<<20)
		testtool.Run(t, c.tool, append(strings.Fields(c.args), image)...)
		if m, id, err := (Driver{}).Probe(fsedittest.OpenImage(t, image)); m != ondisk.None || err != nil {
			t.Errorf("%s: %v %+v %v", c.tool, m, id, err)
		}
	}
	for _, name := range []string{"/usr/lib/grub/i386-pc/boot.img", "/usr/lib/syslinux/mbr/mbr.bin"} {
		p, err := os.ReadFile(name)
		if err != nil {
			continue // not a test of its own
		}
		p = append(p[:min(510, len(p))], make([]byte, 4096)...)
		p[510], p[511] = 0x55, 0xAA
		if m, _, err := (Driver{}).Probe(blockdev.FromBytes(p)); m != ondisk.None || err != nil {
			t.Errorf("%s: %v %v", name, m, err)
		}
	}
	if m, _, err := (Driver{}).Probe(blockdev.FromBytes(make([]byte, 100))); m != ondisk.None || err != nil {
		t.Error(m, err)
	}
}

// TestRead compares a tree with what mcopy gets out of it.
func TestRead(t *testing.T) {
	for _, row := range mkfsRows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			image := row.mkfs(t)
			row.fill(t, image)
			v := open(t, fsedittest.OpenImage(t, image))
			root, err := v.Root("")
			must(t, err)
			got := onlyContent(t, fsedittest.ReadFS(t, root))
			if len(got) < 78 {
				t.Fatalf("%d names", len(got))
			}
			fsedittest.Compare(t, onlyContent(t, fsedittest.ReadHost(t, row.extract(t, image))), got, fsedittest.Ignore{})
			if info := v.Info(); info.ReadOnly != "" || len(info.Notices) != 0 {
				t.Errorf("%+v", info)
			}
			checkSpace(t, v, image)
		})
	}
}

// checkSpace compares with the summary of fsck.fat: "N files, A/B clusters".
func checkSpace(t *testing.T, v *volume, image string) {
	t.Helper()
	out := testtool.Run(t, "fsck.fat", "-n", image)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	_, counts, _ := strings.Cut(lines[len(lines)-1], "files, ")
	used, all, _ := strings.Cut(strings.TrimSuffix(counts, " clusters"), "/")
	s := v.Space()
	if itoa(s.Blocks) != all || itoa(s.Blocks-s.FreeBlocks) != used {
		t.Errorf("%+v, fsck.fat says %s", s, counts)
	}
}

// TestNames: case, short names and numbers as Linux has them.
func TestNames(t *testing.T) {
	row := mkfsRow{args: "-F 16", size: 16 << 20}
	image := row.mkfs(t)
	row.fill(t, image)
	root, _ := open(t, fsedittest.OpenImage(t, image)).Root("")
	for _, c := range [][2]string{
		{"efi/boot/bootx64.efi", "EFI/BOOT/BOOTX64.EFI"}, {"MIXEDCASE.CONF", "MixedCase.Conf"}, {"mixedc~1.con", "MixedCase.Conf"},
		{"ünï cödé/ﬁLE €.TXT", "ünï cödé/ﬁle €.txt"}, {"README.", "README"},
	} {
		a, err1 := walk(root, c[0])
		b, err2 := walk(root, c[1])
		if a != b || err1 != nil || err2 != nil {
			t.Errorf("%q: %d, %q: %d, %v %v", c[0], a, c[1], b, err1, err2)
		}
	}
	for _, missing := range []string{"ÜNÏ CÖDÉ", "nothing", "EFI/.", "EFI/..", "..."} {
		n := root.Root()
		if strings.HasPrefix(missing, "EFI/") {
			n, _ = walk(root, "EFI")
		}
		if got, err := root.Lookup(n, strings.TrimPrefix(missing, "EFI/")); err == nil {
			t.Errorf("%q: %d", missing, got)
		}
	}
}

// TestCaseBits: what Windows NT leaves instead of a long name.
func TestCaseBits(t *testing.T) {
	for _, c := range []struct {
		name string
		bits uint8
		want string
	}{
		{"README  TXT", 0, "README.TXT"}, {"README  TXT", caseBase, "readme.TXT"}, {"README  TXT", caseExt, "README.txt"},
		{"README  TXT", caseBase | caseExt, "readme.txt"}, {"A          ", caseBase, "a"}, {"\x05AB        ", 0, "σAB"},
		{"\x80\x90       \xE1 ", 0, "ÇÉ. ß"}, {"A B     C", 0, "A B.C"}, {"           ", 0, "_"}, {"A/\x01     ", 0, "A__"},
	} {
		s := slot{Case: c.bits}
		copy(s.Name[:], c.name+"           ")
		if got := shownShort(s); got != c.want {
			t.Errorf("%q %#x: %q, not %q", c.name, c.bits, got, c.want)
		}
	}
}

// TestAttributes: what mattrib sets is seen, and modes are as Linux shows them.
func TestAttributes(t *testing.T) {
	row := mkfsRow{args: "-F 32", size: 40 << 20}
	image := row.mkfs(t)
	row.fill(t, image)
	mtools(t, "mattrib", image, "+r", "+h", "+s", "::README")
	root, _ := open(t, fsedittest.OpenImage(t, image)).Root("")
	for name, want := range map[string]filesys.Attr{
		"README":     {Mode: filesys.Regular | 0o555, Nlink: 1},
		"readme.txt": {Mode: filesys.Regular | 0o755, Nlink: 1},
		"EFI":        {Mode: filesys.Dir | 0o755, Nlink: 4},
		"":           {Mode: filesys.Dir | 0o755, Nlink: 5},
	} {
		n, err := walk(root, name)
		must(t, err)
		a, err := root.Attr(n)
		must(t, err)
		if a.Mode != want.Mode || a.Nlink != want.Nlink || a.UID != 0 || a.Node != n {
			t.Errorf("%q: %+v", name, a)
		}
		if _, err := root.Readlink(n); err != filesys.ErrInvalid {
			t.Error(err)
		}
	}
}

// TestOtherReaders: GRUB's and 7-Zip's readers see what ours does.
func TestOtherReaders(t *testing.T) {
	image := mkfsRow{args: "-F 32", size: 40 << 20}.mkfs(t)
	o := fsedittest.OpenWritable(t, image)
	w := edit(t, open(t, o))
	content := noise(1, 300000)
	must(t, w.mkdir("EFI"))
	must(t, w.mkdir("EFI/A long directory name"))
	must(t, w.write("EFI/A long directory name/kernel-6.1.0-amd64.img", content))
	w.commit(t)
	fsedittest.Save(t, o, image)
	if got := testtool.Run(t, "grub-fstest", image, "cat", "(loop0)/efi/a long directory name/Kernel-6.1.0-amd64.img"); got != string(content) {
		t.Errorf("GRUB reads %d bytes", len(got))
	}
	if got := testtool.Run(t, "7zz", "x", "-so", image, "EFI/A long directory name/kernel-6.1.0-amd64.img"); !strings.Contains(got, string(content)) {
		t.Errorf("7-Zip reads %d bytes", len(got))
	}
}
