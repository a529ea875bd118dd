//go:build linux

package fat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// seedVolume is a small filesystem in memory.
func seedVolume(t testing.TB, bits string) (*volume, memory) {
	dev := memory{seedImage(t, bits)}
	return open(t, dev), dev
}

// check has fsck.fat judge a filesystem in memory.
func (m memory) check(t testing.TB) {
	t.Helper()
	image := fsedittest.NewImage(t, 0)
	must(t, os.WriteFile(image, m.raw, 0o600))
	checkFAT(t, image)
}

func lookup(t testing.TB, f filesys.FS, p string) filesys.Node {
	t.Helper()
	n, err := walk(f, p)
	must(t, err)
	return n
}

// TestRefused: what FAT cannot hold is refused, and changes nothing.
func TestRefused(t *testing.T) {
	v, dev := seedVolume(t, "32")
	before := bytes.Clone(dev.raw)
	w := edit(t, v)
	root, readme := w.Root(), lookup(t, w, "README")
	uid := uint32(1000)
	a := filesys.NewAttr{Mode: 0o644}
	refused := func(err error) {
		t.Helper()
		if !errors.Is(err, ondisk.ErrUnsupported) {
			t.Errorf("%v", err)
		}
	}
	_, err := w.Symlink(root, "link", "README", a)
	refused(err)
	_, err = w.Mknod(root, "null", filesys.NewAttr{Mode: filesys.CharDev | 0o666}, 1, 3)
	refused(err)
	refused(w.Link(readme, root, "hard"))
	refused(w.SetXattr(readme, "user.x", nil))
	refused(w.RemoveXattr(readme, "user.x"))
	refused(w.SetAttr(readme, filesys.SetAttr{UID: &uid, Mtime: &testNow}))
	refused(w.WriteFile(readme, endless{1 << 32}))
	for _, name := range []string{"", ".", "..", "a/b", "a:b", "a*", "x?", "q\"", "<", ">", "|", "\\", "a\x1f", "dot.", "blank ", "\xff", strings.Repeat("n", 256), strings.Repeat("😀", 128)} {
		if _, err := w.Create(root, name, a); !errors.Is(err, filesys.ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for name, want := range map[string]error{"readme": fs.ErrExist, "LOWER.TXT": fs.ErrExist} {
		if _, err := w.Create(root, name, a); !errors.Is(err, want) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := w.remove("EFI"); !errors.Is(err, filesys.ErrNotEmpty) {
		t.Error(err)
	}
	if err := w.rename("EFI", "EFI/BOOT/x"); !errors.Is(err, filesys.ErrInvalid) {
		t.Error(err)
	}
	if _, err := v.Edit(filesys.EditOptions{Now: testNow}); !errors.Is(err, ondisk.ErrInUse) {
		t.Error(err)
	}
	w.commit(t)
	if !bytes.Equal(before, dev.raw) {
		t.Error("something was written")
	}
	if err := w.remove("README"); !errors.Is(err, fs.ErrClosed) {
		t.Error(err)
	}
}

// endless is content of zeros.
type endless struct{ size int64 }

func (d endless) Size() int64 { return d.size }
func (d endless) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	return len(p), nil
}

// TestNodes: a node stays what it is when its slot moves, also for those who
// read before the commit.
func TestNodes(t *testing.T) {
	v, dev := seedVolume(t, "16")
	reader, err := v.Root("")
	must(t, err)
	readme, loader := lookup(t, reader, "README"), lookup(t, reader, "EFI/BOOT/BOOTX64.EFI")
	w := edit(t, v)
	must(t, w.rename("README", "EFI/a name that is longer than the old one"))
	must(t, w.write("README", []byte("another")))
	must(t, w.rename("EFI", "boot"))
	must(t, w.remove("empty"))
	if n := lookup(t, w, "boot/a name that is longer than the old one"); n != readme {
		t.Errorf("the file was %d and is %d", readme, n)
	}
	if n := lookup(t, w, "README"); n == readme {
		t.Error("two files are one")
	}
	if n := lookup(t, reader, "README"); n != readme {
		t.Error("a reader saw the change before the commit")
	}
	empty := lookup(t, reader, "empty")
	w.commit(t)
	p, err := filesys.ReadFile(reader, readme, 1<<20)
	if err != nil || !strings.HasPrefix(string(p), "x\nx\n") || len(p) != 9000 {
		t.Errorf("%d bytes, %v", len(p), err)
	}
	p, err = filesys.ReadFile(reader, lookup(t, reader, "readme"), 100)
	if err != nil || string(p) != "another" {
		t.Errorf("%q, %v", p, err)
	}
	if n := lookup(t, reader, "boot/boot/bootx64.efi"); n != loader {
		t.Error("what was in the folder is another")
	}
	if _, err := reader.Attr(empty); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	dev.check(t)
}

// TestFull: a filesystem, and the root of FAT16, that are full say so before
// anything is written, and what fits goes in.
func TestFull(t *testing.T) {
	v, dev := seedVolume(t, "16")
	w := edit(t, v)
	room := v.Space()
	if err := w.write("too large", make([]byte, (room.FreeBlocks+1)*room.BlockSize)); !errors.Is(err, ondisk.ErrNoSpace) {
		t.Fatal(err)
	}
	made := 0
	var err error
	for err == nil && made < 1000 {
		err = w.write(fmt.Sprintf("F%d", made), nil)
		made++
	}
	if !errors.Is(err, ondisk.ErrNoSpace) || made < 400 {
		t.Fatalf("%d names, %v", made, err)
	}
	must(t, w.remove("F7"))
	if err := w.write("needs two slots", nil); !errors.Is(err, ondisk.ErrNoSpace) {
		t.Fatal(err)
	}
	must(t, w.rename("F8", "F7"))
	rest := v.Space().FreeBlocks
	must(t, w.write("F9", make([]byte, rest*room.BlockSize)))
	if err := w.mkdir("many/sub"); !errors.Is(err, ondisk.ErrNoSpace) {
		t.Fatal(err)
	}
	w.commit(t)
	dev.check(t)
	if s := v.Space(); s.FreeBlocks != 0 {
		t.Errorf("%+v", s)
	}
	if free, err := v.FreeExtents(t.Context()); err != nil || len(free) != 0 {
		t.Error(free, err)
	}
	w = edit(t, v)
	must(t, w.remove("F9"))
	w.commit(t)
	if s := v.Space(); s.FreeBlocks != rest {
		t.Errorf("%+v", s)
	}
	dev.check(t)
}

// TestShortNames: numbers that do not collide, and no long name where none is
// needed.
func TestShortNames(t *testing.T) {
	taken := map[string]bool{}
	for _, c := range []struct {
		name, short string
		exact       bool
	}{
		{"README.TXT", "README  TXT", true}, {"readme.md", "README  MD ", false}, {"A", "A          ", true},
		{"long file name.text", "LONGFI~1TEX", false}, {"long file name2.text", "LONGFI~2TEX", false},
		{"LONGFI~3.TEX", "LONGFI~3TEX", true}, {"long file name3.text", "LONGFI~4TEX", false},
		{"a.b.c", "AB~1    C  ", false}, {".profile", "PROFIL~1   ", false}, {"ünï", "_N_~1      ", false},
		{"a+b=c.[x]", "A_B_C~1 _X_", false}, {"...x", "X~1        ", false}, {"loader.conf", "LOADER~1CON", false},
		{"grub.cfg", "GRUB    CFG", false}, {"initrd.img-6.1.0-13-amd64", "INITRD~16~1", false},
	} {
		short, exact, err := shortName(c.name, taken)
		if c.name == "initrd.img-6.1.0-13-amd64" {
			c.short = string(short[:]) // only unique
		}
		if err != nil || string(short[:]) != c.short || exact != c.exact {
			t.Errorf("%q: %q %v %v, not %q", c.name, short, exact, err, c.short)
		}
		taken[foldName(shownShort(slot{Name: short}))] = true
		taken[foldName(c.name)] = true
	}
	for i := range 500 {
		short, _, err := shortName(fmt.Sprintf("the same beginning %d", i), taken)
		shown := foldName(shownShort(slot{Name: short}))
		if err != nil || taken[shown] {
			t.Fatalf("%d: %q is taken, %v", i, short, err)
		}
		taken[shown] = true
	}
}

// TestKept: marks, labels and attributes that are nobody's business stay.
func TestKept(t *testing.T) {
	for _, bits := range []string{"12", "16", "32"} {
		raw := seedImage(t, bits)
		v := open(t, memory{raw})
		raw[v.stateOff] |= stateDirty
		if v.bits == 32 {
			for table := range v.fats {
				raw[v.tableOff(table)+7] &^= 0x08
				raw[v.tableOff(table)+9*4+3] |= 0xA0 // of an entry, the bits that nobody uses
			}
		}
		head := bytes.Clone(raw[:v.fatOff+v.sectorSize])
		v = open(t, memory{raw})
		info := v.Info()
		if len(info.Notices) != 1 || info.ReadOnly != "" {
			t.Errorf("FAT%s: %+v", bits, info)
		}
		w := edit(t, v)
		n := lookup(t, w, "README")
		before, off, err := v.nodeSlot(n)
		must(t, err)
		must(t, w.write("README", noise(1, 20000)))
		must(t, w.write("new", noise(2, 20000)))
		w.commit(t)
		after, _, err := v.nodeSlot(n)
		must(t, err)
		if after.Name != before.Name || after.Attr|attrArchive != before.Attr|attrArchive || after.CDate != before.CDate || off != v.ids.Load().place(n) {
			t.Errorf("FAT%s: %+v became %+v", bits, before, after)
		}
		if got := v.Ident(); got.Label != "SEED" || got.UUID != "1234-ABCD" {
			t.Errorf("%+v", got)
		}
		copy(head[max(v.infoOff, 512)+infoFree:][:4], raw[max(v.infoOff, 512)+infoFree:])
		if !bytes.Equal(head[:v.fatOff+2], raw[:v.fatOff+2]) || v.bits == 32 && raw[v.fatOff+9*4+3]&0xF0 != 0xA0 {
			t.Errorf("FAT%s: the head changed", bits)
		}
	}
}

// TestSetAttr: times and read-only, and nothing else.
func TestSetAttr(t *testing.T) {
	v, dev := seedVolume(t, "32")
	w := edit(t, v)
	n := lookup(t, w, "lower.txt")
	mode, root := filesys.Mode(0o444), uint32(0)
	at := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	must(t, w.SetAttr(n, filesys.SetAttr{Mode: &mode, UID: &root, GID: &root, Atime: &at, Mtime: &at}))
	a, err := w.Attr(n)
	must(t, err)
	if a.Mode != filesys.Regular|0o555 || !a.Mtime.Equal(at) || !a.Atime.Equal(at.Truncate(24*time.Hour)) {
		t.Errorf("%+v", a)
	}
	mode = 0o600
	must(t, w.SetAttr(n, filesys.SetAttr{Mode: &mode}))
	must(t, w.SetAttr(w.Root(), filesys.SetAttr{Mode: &mode, Mtime: &at}))
	if a, _ = w.Attr(n); a.Mode != filesys.Regular|0o755 {
		t.Errorf("%+v", a)
	}
	f, err := w.Create(w.Root(), "ro", filesys.NewAttr{Mode: 0o400, Mtime: at})
	must(t, err)
	if a, _ = w.Attr(f); a.Mode != filesys.Regular|0o555 || !a.Mtime.Equal(at) || !a.Btime.Equal(testNow) {
		t.Errorf("%+v", a)
	}
	w.commit(t)
	dev.check(t)
}

// TestAbort and failing content: nothing of a session is seen.
func TestAbort(t *testing.T) {
	v, dev := seedVolume(t, "12")
	before := bytes.Clone(dev.raw)
	w := edit(t, v)
	must(t, w.write("new", noise(1, 5000)))
	must(t, w.remove("README"))
	w.Abort()
	if !bytes.Equal(before, dev.raw) {
		t.Error("something was written")
	}
	w = edit(t, v)
	n, err := w.Create(w.Root(), "bad", filesys.NewAttr{Mode: 0o644})
	must(t, err)
	must(t, w.WriteFile(n, short{blockdev.FromBytes(nil)}))
	if err := w.Commit(context.Background()); err == nil {
		t.Error("content that ends early was taken")
	}
	w = edit(t, v)
	if _, err := walk(w, "bad"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	dev.check(t)
}

// short claims more than it has.
type short struct{ blockdev.Device }

func (short) Size() int64 { return 3000 }

// TestLargeDirectory grows over many clusters, with names of 20 slots.
func TestLargeDirectory(t *testing.T) {
	v, dev := seedVolume(t, "16")
	w := edit(t, v)
	must(t, w.mkdir("dir"))
	dir := lookup(t, w, "dir")
	const n = 150
	for i := range n {
		if _, err := w.Create(dir, fmt.Sprintf("%s%d", strings.Repeat("long", 60), i), filesys.NewAttr{Mode: 0o644}); err != nil {
			t.Fatal(i, err)
		}
	}
	w.commit(t)
	dev.check(t)
	root, _ := v.Root("")
	list, err := root.ReadDir(lookup(t, root, "dir"))
	if err != nil || len(list) != n {
		t.Fatal(len(list), err)
	}
}
