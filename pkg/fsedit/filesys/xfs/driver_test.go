//go:build linux

package xfs

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// TestProbe compares what a filesystem is called with blkid(8).
func TestProbe(t *testing.T) {
	for _, row := range append(mkfsRows[:6:6], v4Rows...) {
		row.args += " -L twelve-bytes"
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
func patched(t *testing.T, dev blockdev.Device, patch func(raw []byte)) blockdev.Device {
	t.Helper()
	o := blockdev.NewOverlay(dev, blockdev.OverlayOptions{})
	raw := make([]byte, minSector)
	if _, err := o.ReadAt(raw, 0); err != nil {
		t.Fatal(err)
	}
	patch(raw)
	sealSuper(raw)
	if _, err := o.WriteAt(raw, 0); err != nil {
		t.Fatal(err)
	}
	return o
}

// TestFeatureLists: an unknown bit of incompat is refused by its number, one of
// ro_compat hinders editing only, one of compat nothing.
func TestFeatureLists(t *testing.T) {
	image := fsedittest.OpenImage(t, mkfsRows[0].mkfs(t))
	openWith := func(word int, bit uint32) (filesys.Volume, error) {
		dev := patched(t, image, func(raw []byte) { be.PutUint32(raw[word:], be.Uint32(raw[word:])|bit) })
		return Driver{}.Open(t.Context(), []blockdev.Device{dev}, filesys.Options{})
	}
	for bit, name := range map[uint32]string{1 << 30: "incompat bit 0x40000000", fiZoned: "zoned"} {
		if _, err := openWith(sbIncompat, bit); !errors.Is(err, ondisk.ErrUnsupported) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if v, err := openWith(212, 1<<30); err != nil || !strings.Contains(v.Info().ReadOnly, "ro_compat bit 0x40000000") {
		t.Errorf("unknown ro_compat bit: %v", err)
	}
	if v, err := openWith(208, 1<<30); err != nil || strings.Contains(v.Info().ReadOnly, "bit") {
		t.Errorf("unknown compat bit: %v", err)
	}
	v, err := openWith(sbIncompat, fiNeedsRepair)
	if err != nil || len(v.Info().Notices) == 0 {
		t.Errorf("needsrepair: %v", err)
	}
	if _, err := v.FreeExtents(t.Context()); !errors.Is(err, ondisk.ErrUnsupported) {
		t.Errorf("free space of needsrepair: %v", err)
	}
	if _, err := v.Edit(filesys.EditOptions{Now: time.Unix(1, 0)}); !errors.Is(err, ondisk.ErrUnsupported) {
		t.Errorf("edit: %v", err)
	}
}

// TestLyingSuperblock: no field of the superblock leads to a panic or to memory
// that the device does not justify.
func TestLyingSuperblock(t *testing.T) {
	image := blockdev.FromBytes(loadSeed(t, "v5.img.gz").raw)
	for off := 0; off < superSize-4; off += 2 {
		for _, value := range []uint32{0, 1, 0x7FFFFFFF, 0xFFFFFFFF} {
			dev := patched(t, image, func(raw []byte) { be.PutUint32(raw[off:], value) })
			v, err := Driver{}.Open(t.Context(), []blockdev.Device{dev}, filesys.Options{})
			if err != nil {
				continue
			}
			v.Info()
			v.Space()
			v.FreeExtents(t.Context())
			f := &tree{v.(*volume)}
			f.ReadDir(f.Root())
		}
	}
}

func lookup(t testing.TB, f *tree, names ...string) *inode {
	t.Helper()
	n := f.Root()
	for _, name := range names {
		var err error
		if n, err = f.Lookup(n, name); err != nil {
			t.Fatal(err)
		}
	}
	in, err := f.v.node(n)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// TestDamage flips one bit of each kind of structure: the error names it.
func TestDamage(t *testing.T) {
	image := blockdev.FromBytes(loadSeed(t, "v5.img.gz").raw)
	v := open(t, image)
	f := &tree{v}
	place := func(k fork, logical uint64) int64 {
		m, err := v.mapOf(k)
		if err != nil {
			t.Fatal(err)
		}
		r, err := m.find(logical)
		if err != nil || r.kind != runData {
			t.Fatal(r, err)
		}
		return v.byteOff(r.phys + logical - r.logical)
	}
	attrs, _ := v.attrFork(lookup(t, f, "fragmented"))
	big, _ := v.attrFork(lookup(t, f, "file"))
	many := lookup(t, f, "600")
	root, err := (&bmapTree{v: v, fork: v.dataFork(lookup(t, f, "fragmented"))}).root()
	if err != nil {
		t.Fatal(err)
	}
	h, _, err := v.agf(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name string
		off  int64
	}{
		{"superblock", 0x84},
		{"AGF", v.agSector(0, agfSector) + 0x34},
		{"AGI", v.agSector(0, agiSector) + 0x10},
		{"AGFL", v.agSector(0, agflSector) + 0x30},
		{"free space by block", v.byteOff(uint64(h.Roots[0])) + 70},
		{"free space by size", v.byteOff(uint64(h.Roots[1])) + 70},
		{"inode", lookup(t, f, "file").off + 0x38},
		{"extent map block", v.byteOff(root.ptr(0)) + 100},
		{"directory block", place(v.dataFork(many), 0) + 100},
		{"directory index", place(v.dataFork(many), dirLeafOffset>>v.blockBits) + 100},
		{"attribute block", place(attrs, 0) + 200},
		{"attribute value", place(big, 5) + 300},
		{"symbolic link", place(v.dataFork(lookup(t, f, "long")), 0) + 80},
	} {
		o := blockdev.NewOverlay(image, blockdev.OverlayOptions{})
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

func readEverything(t *testing.T, dev blockdev.Device) error {
	v, err := Driver{}.Open(t.Context(), []blockdev.Device{dev}, filesys.Options{})
	if err != nil {
		return err
	}
	f := &tree{v.(*volume)}
	if _, err := fsedittest.WalkFS(f); err != nil {
		return err
	}
	if n, err := f.Lookup(f.Root(), "600"); err != nil {
		return err
	} else if _, err := f.Lookup(n, "name-1-n"); err != nil {
		return err
	}
	_, err = v.FreeExtents(t.Context())
	return err
}
