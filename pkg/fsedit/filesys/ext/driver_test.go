//go:build linux

package ext

import (
	"errors"
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
	for _, row := range append(foreignRows, mkfsRows...) {
		row.args += " -L labelled-16-long"
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
	}
	if m, _, err := (Driver{}).Probe(blockdev.FromBytes(make([]byte, 100))); m != ondisk.None || err != nil {
		t.Error(m, err)
	}
}

// patched is an image whose superblock is changed and sealed.
func patched(t *testing.T, image string, patch func(raw []byte)) blockdev.Device {
	t.Helper()
	o := fsedittest.OpenWritable(t, image)
	raw := make([]byte, superSize)
	if _, err := o.ReadAt(raw, superOffset); err != nil {
		t.Fatal(err)
	}
	patch(raw)
	sealSuper(raw)
	if _, err := o.WriteAt(raw, superOffset); err != nil {
		t.Fatal(err)
	}
	return o
}

// TestFeatureLists: an unknown bit of incompat is refused by its number, one of
// ro_compat hinders editing only, one of compat nothing.
func TestFeatureLists(t *testing.T) {
	image := mkfsRow{args: "-t ext4 -O ^has_journal"}.mkfs(t)
	openWith := func(word int, bit uint32) (filesys.Volume, error) {
		dev := patched(t, image, func(raw []byte) { le.PutUint32(raw[word:], le.Uint32(raw[word:])|bit) })
		return Driver{}.Open(t.Context(), []blockdev.Device{dev}, filesys.Options{})
	}
	for bit, name := range map[uint32]string{1 << 30: "incompat bit 0x40000000", fiCompression: "compression", fiDirData: "dirdata", fiJournalDev: "journal_dev"} {
		if _, err := openWith(sbFeatureIncompat, bit); !errors.Is(err, ondisk.ErrUnsupported) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for bit, name := range map[uint32]string{1 << 30: "ro_compat bit 0x40000000", frReadonly: "read-only", frQuota: "quota"} {
		v, err := openWith(sbFeatureROCompat, bit)
		if err != nil || !strings.Contains(v.Info().ReadOnly, name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if v, err := openWith(0x5C, 1<<30); err != nil || v.Info().ReadOnly != "" {
		t.Errorf("unknown compat bit: %v", err)
	}
}

// TestMMP: a clean filesystem can be edited, one that is mounted cannot.
func TestMMP(t *testing.T) {
	image := mkfsRow{args: "-t ext4 -O mmp"}.mkfs(t)
	if why := open(t, fsedittest.OpenImage(t, image)).Info().ReadOnly; why != "" {
		t.Error(why)
	}
	_, unmount := fsedittest.Mount(t, image, "")
	mounted := fsedittest.CopyImage(t, image)
	unmount()
	if why := open(t, fsedittest.OpenWritable(t, mounted)).Info().ReadOnly; !strings.Contains(why, "multiple mount protection") {
		t.Errorf("mounted: %q", why)
	}
}

// TestLyingSuperblock: no field of the superblock leads to a panic or to memory
// that the device does not justify.
func TestLyingSuperblock(t *testing.T) {
	image := mkfsRow{args: "-t ext4 -O ^has_journal"}.mkfs(t)
	for off := 0; off < superSize-4; off += 2 {
		for _, value := range []uint32{0, 1, 0x7FFFFFFF, 0xFFFFFFFF} {
			dev := patched(t, image, func(raw []byte) { le.PutUint32(raw[off:], value) })
			v, err := Driver{}.Open(t.Context(), []blockdev.Device{dev}, filesys.Options{})
			if err != nil {
				continue
			}
			v.Info()
			v.Space()
			v.FreeExtents(t.Context())
			(&tree{v.(*volume)}).ReadDir(inoRoot)
		}
	}
}

// TestDamage flips one bit of each kind of structure: the error names it.
func TestDamage(t *testing.T) {
	image := mkfsRow{args: "-t ext4 -b 1024"}.mkfs(t)
	dir, unmount := fsedittest.Mount(t, image, "")
	fsedittest.Populate{Entries: 500}.Fill(t, dir)
	unmount()
	v := open(t, fsedittest.OpenImage(t, image))
	f := &tree{v}
	inodeOf := func(names ...string) *inode {
		in, err := v.node(lookup(t, f, names...))
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	blockOf := func(in *inode, n uint64) int64 {
		_, nr, err := v.readFileBlock(v.mapOf(in), n)
		if err != nil || nr == 0 {
			t.Fatal(nr, err)
		}
		return v.byteOff(nr)
	}
	var extentBlock int64
	v.mapOf(inodeOf("fragmented")).visit(func(run) error { return nil }, func(nr uint64) error { extentBlock = v.byteOff(nr); return nil })
	g, err := v.group(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name string
		off  int64
	}{
		{"superblock", superOffset + 0x2C},
		{"group descriptor", g.off + 0x15},
		{"inode", inodeOf("files", "1").off + 0x70},
		{"extent block", extentBlock + 30},
		{"directory block", blockOf(inodeOf("large"), 0) + 0x28},
		{"directory block", blockOf(inodeOf("large"), 3) + 0x28},
		{"xattr block", v.byteOff(inodeOf("xattrs", "big").xattrBlock(v)) + 0x300},
		{"block bitmap", v.byteOff(g.blockBitmap()) + 1000},
		{"journal superblock", blockOf(journalOf(t, v), 0) + 0x70},
	} {
		o := fsedittest.OpenWritable(t, image)
		var b [1]byte
		o.ReadAt(b[:], x.off)
		b[0] ^= 4
		o.WriteAt(b[:], x.off)
		err := readEverything(t, o)
		if !errors.Is(err, ondisk.ErrCorrupt) || !strings.Contains(err.Error(), x.name) {
			t.Errorf("damaged %s: %v", x.name, err)
		}
	}
}

func journalOf(t *testing.T, v *volume) *inode {
	t.Helper()
	in, err := v.journalInode()
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func readEverything(t *testing.T, dev blockdev.Device) error {
	v, err := Driver{}.Open(t.Context(), []blockdev.Device{dev}, filesys.Options{})
	if err != nil {
		return err
	}
	if _, err := fsedittest.WalkFS(&tree{v.(*volume)}); err != nil {
		return err
	}
	_, err = v.FreeExtents(t.Context())
	return err
}
