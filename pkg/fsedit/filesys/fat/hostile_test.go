//go:build linux

package fat

import (
	"bytes"
	"errors"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// spoil changes a good filesystem in memory.
func spoil(t *testing.T, bits string, change func(v *volume, raw []byte)) *volume {
	t.Helper()
	raw := seedImage(t, bits)
	change(open(t, memory{raw}), raw)
	return open(t, memory{raw})
}

// point makes an entry of all tables lead elsewhere.
func point(v *volume, raw []byte, n, to uint32) {
	off, _ := v.entryPlace(n)
	for table := range v.fats {
		v.patchEntry(n, raw[v.tableOff(table)+off:], to)
	}
}

// startOfFile is the first cluster of a file.
func startOfFile(t *testing.T, v *volume, name string) (start uint32, off int64) {
	t.Helper()
	s, off, err := v.nodeSlot(lookup(t, &tree{v}, name))
	must(t, err)
	return v.start(s), off
}

// TestContradictions: chains that meet, go round, or lead out of the filesystem
// are found; such a filesystem is read, but neither edited nor called free.
func TestContradictions(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(v *volume, raw []byte)
	}{
		{"ring", func(v *volume, raw []byte) {
			n, _ := startOfFile(t, v, "README")
			point(v, raw, n+3, n)
		}},
		{"ring of a directory", func(v *volume, raw []byte) {
			n, _ := startOfFile(t, v, "many")
			point(v, raw, n, n)
		}},
		{"crossing", func(v *volume, raw []byte) {
			a, _ := startOfFile(t, v, "README")
			b, _ := startOfFile(t, v, "EFI/BOOT/BOOTX64.EFI")
			point(v, raw, a+1, b)
		}},
		{"free cluster in a chain", func(v *volume, raw []byte) {
			n, _ := startOfFile(t, v, "README")
			point(v, raw, n+1, entryFree)
		}},
		{"bad cluster in a chain", func(v *volume, raw []byte) {
			n, _ := startOfFile(t, v, "README")
			point(v, raw, n, entryBad)
		}},
		{"out of the filesystem", func(v *volume, raw []byte) {
			n, _ := startOfFile(t, v, "README")
			point(v, raw, n, v.clusters+2)
		}},
		{"two files on one chain", func(v *volume, raw []byte) {
			n, _ := startOfFile(t, v, "README")
			_, off := startOfFile(t, v, "EFI/BOOT/BOOTX64.EFI")
			v.putStart(raw[off:off+slotSize], n)
		}},
		{"size without clusters", func(v *volume, raw []byte) {
			_, off := startOfFile(t, v, "README")
			le.PutUint32(raw[off+slSize:], 100000)
		}},
		{"directory that is its parent", func(v *volume, raw []byte) {
			n, _ := startOfFile(t, v, "EFI")
			_, off := startOfFile(t, v, "EFI/BOOT")
			v.putStart(raw[off:off+slotSize], n)
		}},
		{"tables that differ", func(v *volume, raw []byte) {
			off, _ := v.entryPlace(v.clusters / 2)
			raw[v.tableOff(1)+off] ^= 0x20
		}},
	} {
		for _, bits := range []string{"12", "16", "32"} {
			v := spoil(t, bits, c.change)
			if _, err := v.Edit(filesys.EditOptions{Now: testNow}); !errors.Is(err, ondisk.ErrUnsupported) {
				t.Errorf("FAT%s: %s: edit: %v", bits, c.name, err)
			}
			if _, err := v.FreeExtents(t.Context()); !errors.Is(err, ondisk.ErrCorrupt) {
				t.Errorf("FAT%s: %s: free: %v", bits, c.name, err)
			}
			if info := v.Info(); info.ReadOnly == "" {
				t.Errorf("FAT%s: %s: %+v", bits, c.name, info)
			}
			within(t, func() { exercise(t, bytes.Clone(v.dev.(memory).raw)) })
		}
	}
}

// TestRing: a reader does not go round for ever.
func TestRing(t *testing.T) {
	v := spoil(t, "32", func(v *volume, raw []byte) {
		n, off := startOfFile(t, v, "README")
		point(v, raw, n+3, n)
		le.PutUint32(raw[off+slSize:], 100000)
	})
	f, err := (&tree{v}).Open(lookup(t, &tree{v}, "README"))
	must(t, err)
	if _, err := f.ReadAt(make([]byte, 1), 99000); !errors.Is(err, ondisk.ErrCorrupt) {
		t.Error(err)
	}
	if _, err := f.ReadAt(make([]byte, 1), 2000); err != nil {
		t.Error(err)
	}
}

// TestLyingBootSector: no field of it leads to a panic or to memory that the
// device does not justify.
func TestLyingBootSector(t *testing.T) {
	for _, bits := range []string{"12", "32"} {
		good := seedImage(t, bits)
		for off := 11; off < 90; off++ {
			for _, value := range []uint32{0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF} {
				raw := bytes.Clone(good)
				le.PutUint32(raw[off:], value)
				exercise(t, raw)
			}
		}
	}
}

// TestFalseBootSectors are refused, each for its reason.
func TestFalseBootSectors(t *testing.T) {
	for _, c := range []struct {
		seed, name string
		off        int
		value      uint16
		want       error
	}{
		{"16", "no reserved sectors", 14, 0, ondisk.ErrFormat},
		{"16", "no tables", 16, 0, ondisk.ErrFormat},
		{"12", "giant root", 17, 0xFFF0, ondisk.ErrCorrupt},
		{"16", "root that fills no sector", 17, 17, ondisk.ErrCorrupt},
		{"16", "no root", 17, 0, ondisk.ErrCorrupt},
		{"16", "larger than the device", 19, 0xFFFF, ondisk.ErrCorrupt},
		{"16", "table shorter than its clusters", 22, 1, ondisk.ErrCorrupt},
	} {
		raw := seedImage(t, c.seed)
		le.PutUint16(raw[c.off:], c.value)
		if c.off == 16 {
			raw[17] = 2 // the byte that belongs to the root
		}
		_, err := Driver{}.Open(t.Context(), []blockdev.Device{memory{raw}}, filesys.Options{})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestLongNames that are no names, or belong to nobody, count for nothing.
func TestLongNames(t *testing.T) {
	short := [11]byte([]byte("SHORT   TXT"))
	file := make([]byte, slotSize)
	copy(file, short[:])
	long := func(units ...uint16) []byte { return longSlots(units, short) }
	text := func(s string) (u []uint16) {
		for _, c := range s {
			u = append(u, uint16(c))
		}
		return u
	}
	wrongSum := long(text("wrong sum")...)
	wrongSum[longSum]++
	twoPieces := long(text("a name in two pieces")...)
	deleted := append(long(text("deleted")...), make([]byte, slotSize)...)
	deleted[slotSize] = slotDeleted
	for _, c := range []struct {
		slots []byte
		want  string
	}{
		{long(text("good")...), "good"}, {twoPieces, "a name in two pieces"}, {long(0xD83D, 0xDE00), "😀"},
		{long(0xD83D, 'x'), "\xed\xa0\xbdx"}, {wrongSum, ""}, {twoPieces[slotSize:], ""}, {twoPieces[:slotSize], ""},
		{long(text("a/b")...), ""}, {long(text("..")...), ""}, {long(0), ""}, {deleted, ""},
		{append(bytes.Clone(twoPieces[:slotSize]), long(text("inner")...)...), "inner"}, {nil, ""},
		{bytes.Repeat(long(text("bomb")...), 500), "bomb"},
	} {
		if c.want == "" {
			c.want = "SHORT.TXT"
		}
		d := &directory{v: &volume{}, raw: append(bytes.Clone(c.slots), file...)}
		n := 0
		for e := range d.entries() {
			if n++; e.name() != c.want {
				t.Errorf("%q, not %q", e.name(), c.want)
			}
		}
		if n != 1 {
			t.Errorf("%q: %d entries", c.want, n)
		}
	}
}
