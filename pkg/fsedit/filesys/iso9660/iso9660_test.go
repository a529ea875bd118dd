//go:build linux

package iso9660

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

func TestLayout(t *testing.T) {
	if n := binary.Size(descriptor{}); n != sector {
		t.Errorf("a descriptor takes %d bytes", n)
	}
}

// seed fills a folder with what Rock Ridge can keep, and with names that Joliet
// and plain names can.
func seed(t testing.TB, simple bool) string {
	t.Helper()
	dir := t.TempDir()
	put := func(name, text string) {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 300 {
		put(filepath.Join("many", "file"+string(rune('a'+i%26))+string(rune('a'+i/26))+".txt"), strings.Repeat("x", rng.IntN(9000)))
	}
	put("empty", "")
	put("a/b/c/deep.txt", "deep")
	if simple {
		return dir
	}
	put("Gro\u00dfe Stra\u00dfe/Datei mit Leerzeichen und einem langen Namen, der nicht in einen Eintrag passt.txt", "lang")
	put(strings.Repeat("n", 200)+"/"+strings.Repeat("m", 180), "long")
	put("one/two/three/four/five/six/seven/eight/nine/ten/end", "relocated")
	for name, target := range map[string]string{
		"link": "a/b/../b/./c", "absolute": "/etc/passwd", "root": "/", "up": "../..", "longlink": strings.Repeat("abcdefgh/", 90) + "end", "dot": ".",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	testtool.Run(t, "mknod", filepath.Join(dir, "null"), "c", "1", "3")
	testtool.Run(t, "mknod", filepath.Join(dir, "sda"), "b", "8", "17")
	testtool.Run(t, "mkfifo", filepath.Join(dir, "fifo"))
	for name, mode := range map[string]os.FileMode{"empty": 0o4755 | os.ModeSetuid, "a": 0o700, "many": 0o1777 | os.ModeSticky} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Lchown(filepath.Join(dir, "a/b/c/deep.txt"), 1000, 70000); err != nil {
		t.Fatal(err)
	}
	when := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(dir, "a/b"), when, when); err != nil {
		t.Fatal(err)
	}
	return dir
}

func made(t testing.TB, dir string, command ...string) string {
	t.Helper()
	img := filepath.Join(t.TempDir(), "image.iso")
	testtool.Run(t, command[0], append(command[1:], "-quiet", "-V", "LABEL", "-o", img, dir)...)
	return img
}

func open(t testing.TB, dev blockdev.Device) filesys.Volume {
	t.Helper()
	match, id, err := Driver{}.Probe(dev)
	if err != nil || match != ondisk.Sure || id.Type != "iso9660" || id.Label != "LABEL" {
		t.Fatal(match, id, err)
	}
	v, err := Driver{}.Open(t.Context(), []blockdev.Device{dev}, filesys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func read(t testing.TB, v filesys.Volume) fsedittest.Tree {
	t.Helper()
	f, err := v.Root("")
	if err != nil {
		t.Fatal(err)
	}
	return comparable(fsedittest.ReadFS(t, f))
}

// comparable leaves out what an unpacked copy does not show: counts of names, and
// parts of seconds.
func comparable(tree fsedittest.Tree) fsedittest.Tree {
	for p, e := range tree {
		e.Nlink, e.Mtime = 0, 0
		tree[p] = e
	}
	return tree
}

// What libarchive unpacks is what is read, and is what was packed.
func TestRockRidge(t *testing.T) {
	testtool.Need(t, "xorriso", "genisoimage", "bsdtar", "mknod", "mkfifo")
	dir := seed(t, false)
	long := filepath.Join(dir, "longlink")
	want := comparable(fsedittest.ReadHost(t, dir))
	for _, command := range [][]string{
		{"xorriso", "-as", "mkisofs", "-R"},
		{"xorriso", "-as", "mkisofs", "-R", "-J", "-joliet-long"},
		{"genisoimage", "-R", "-D"},
		{"genisoimage", "-R", "-J", "-joliet-long", "-input-charset", "utf-8"},
	} {
		t.Run(strings.Join(command, " "), func(t *testing.T) {
			var skip []string
			if command[0] == "genisoimage" { // it damages such a link, and its devices are not libarchive's
				os.Remove(long)
				delete(want, "longlink")
				skip = []string{"null", "sda"}
			}
			img := made(t, dir, command...)
			v := open(t, fsedittest.OpenImage(t, img))
			if f := v.Info().Features; len(f) != 1 || f[0] != "rockridge" {
				t.Fatal(f)
			}
			got := read(t, v)
			moved := fsedittest.Ignore{Blocks: true, Path: func(p string) bool { return p == "rr_moved" || p == "." }}
			fsedittest.Compare(t, want, got, moved)
			delete(got, "longlink") // libarchive forgets slashes of it
			out := t.TempDir()
			args := []string{"-C", out, "-xpf", img}
			for _, p := range skip {
				delete(got, p)
				args = append(args, "--exclude", p)
			}
			testtool.Run(t, "bsdtar", args...)
			unpacked := comparable(fsedittest.ReadHost(t, out))
			delete(unpacked, "longlink")
			fsedittest.Compare(t, unpacked, got, moved)
		})
	}
}

// A link whose target is damaged, as genisoimage does it to long ones, is listed
// and not followed.
func TestDamagedLink(t *testing.T) {
	testtool.Need(t, "genisoimage")
	dir := t.TempDir()
	if err := os.Symlink(strings.Repeat("abcdefgh/", 90), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	f, err := open(t, fsedittest.OpenImage(t, made(t, dir, "genisoimage", "-R"))).Root("")
	if err != nil {
		t.Fatal(err)
	}
	list, err := f.ReadDir(f.Root())
	if err != nil || len(list) != 1 || list[0].Type != filesys.Symlink {
		t.Fatal(list, err)
	}
	if target, err := f.Readlink(list[0].Node); !errors.Is(err, ondisk.ErrCorrupt) {
		t.Errorf("%q, %v", target, err)
	}
}

// Without Rock Ridge the names are those of Joliet or plain ones, and contents
// are all that there is.
func TestOtherNames(t *testing.T) {
	testtool.Need(t, "genisoimage", "xorriso")
	simple, odd := seed(t, true), seed(t, true)
	const name = "Gro\u00dfe Stra\u00dfe"
	if err := os.MkdirAll(filepath.Join(odd, name, "apt.conf.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(odd, name, "apt.conf.d", "A Name.With.Dots"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir     string
		form    string
		command []string
	}{
		{odd, "joliet", []string{"genisoimage", "-J", "-input-charset", "utf-8"}},
		{odd, "joliet", []string{"xorriso", "-as", "mkisofs", "--norock", "-J"}},
		{simple, "plain", []string{"genisoimage", "-iso-level", "1"}},
		{simple, "plain", []string{"genisoimage", "-iso-level", "4"}},
	} {
		t.Run(strings.Join(c.command, " "), func(t *testing.T) {
			img := made(t, c.dir, c.command...)
			v := open(t, fsedittest.OpenImage(t, img))
			if f := v.Info().Features; len(f) != 1 || f[0] != c.form {
				t.Fatal(f)
			}
			want := fsedittest.Tree{}
			for p, e := range comparable(fsedittest.ReadHost(t, c.dir)) {
				e.Mode, e.UID, e.GID = e.Mode.Type()|0o555, 0, 0
				want[p] = e
			}
			fsedittest.Compare(t, want, read(t, v), fsedittest.Ignore{Blocks: true})
		})
	}
}

// Records that say that more follow are one file.
func TestSeveralExtents(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a1": "first", "a2": " and second", "a3": "another"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, err := os.ReadFile(made(t, dir, "genisoimage"))
	if err != nil {
		t.Fatal(err)
	}
	dev := blockdev.FromBytes(p)
	f, err := open(t, dev).Root("")
	if err != nil {
		t.Fatal(err)
	}
	n, err := f.Lookup(f.Root(), "a1")
	if err != nil {
		t.Fatal(err)
	}
	p[int64(n)+25] |= flagMore
	if f, err = open(t, blockdev.FromBytes(p)).Root(""); err != nil {
		t.Fatal(err)
	}
	list, err := f.ReadDir(f.Root())
	if err != nil || len(list) != 2 || list[1].Name != "a3" {
		t.Fatal(list, err)
	}
	if text, err := filesys.ReadFile(f, n, 100); err != nil || string(text) != "first and second" {
		t.Errorf("%q, %v", text, err)
	}
	if a, err := f.Attr(n); err != nil || a.Size != 16 {
		t.Errorf("%d bytes, %v", a.Size, err)
	}
}

// A file of more than 4 GiB has several extents. It is written in full.
func TestLargeFile(t *testing.T) {
	if os.Getenv("VMCONV_SOAK") == "" {
		t.Skip("writes 4 GiB: VMCONV_SOAK=1")
	}
	dir := t.TempDir()
	big, err := os.Create(filepath.Join(dir, "big"))
	if err != nil {
		t.Fatal(err)
	}
	const size = 4<<30 + 12345
	if err := big.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if _, err := big.WriteAt([]byte("the end"), size-7); err != nil {
		t.Fatal(err)
	}
	big.Close()
	v := open(t, fsedittest.OpenImage(t, made(t, dir, "xorriso", "-as", "mkisofs", "-R", "-iso-level", "3")))
	f, err := v.Root("")
	if err != nil {
		t.Fatal(err)
	}
	n, err := f.Lookup(f.Root(), "big")
	if err != nil {
		t.Fatal(err)
	}
	dev, err := f.Open(n)
	if err != nil || dev.Size() != size {
		t.Fatal(dev, err)
	}
	p := make([]byte, 7)
	if _, err := dev.ReadAt(p, size-7); err != nil || string(p) != "the end" {
		t.Errorf("%q, %v", p, err)
	}
}

// The identity is what blkid says.
func TestIdent(t *testing.T) {
	testtool.Need(t, "blkid")
	for _, command := range [][]string{{"genisoimage", "-R"}, {"xorriso", "-as", "mkisofs", "-R"}} {
		img := made(t, seed(t, true), command...)
		_, id, err := Driver{}.Probe(fsedittest.OpenImage(t, img))
		if err != nil {
			t.Fatal(err)
		}
		out := testtool.Run(t, "blkid", "-p", "-o", "export", img)
		for _, line := range []string{"TYPE=" + id.Type, "UUID=" + id.UUID, "LABEL=" + id.Label} {
			if !strings.Contains(out, "\n"+line+"\n") {
				t.Errorf("%s: no line %s of\n%s", command[0], line, out)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	p, err := os.ReadFile(made(t, seed(t, true), "xorriso", "-as", "mkisofs", "-R"))
	if err != nil {
		t.Fatal(err)
	}
	v := open(t, blockdev.FromBytes(p))
	if _, err := v.Edit(filesys.EditOptions{}); !errors.Is(err, ondisk.ErrReadOnly) || v.Info().ReadOnly == "" {
		t.Errorf("edit: %v", err)
	}
	if r, err := v.FreeExtents(t.Context()); len(r) > 0 || err != nil {
		t.Errorf("free: %v, %v", r, err)
	}
	for _, n := range []int{0, 32768, 34815} {
		if match, _, err := (Driver{}).Probe(blockdev.FromBytes(p[:n])); match != ondisk.None || err != nil {
			t.Errorf("cut to %d bytes: %v, %v", n, match, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "d/e"), 0o755); err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"a", "d/A long name for Rock Ridge", "d/e/f"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("text"), 0o644); err != nil {
			f.Fatal(err)
		}
	}
	os.Symlink("../a/./b", filepath.Join(dir, "l"))
	for _, command := range [][]string{{"xorriso", "-as", "mkisofs", "-R"}, {"genisoimage", "-J"}, {"genisoimage"}} {
		p, err := os.ReadFile(made(f, dir, append(command, "-no-pad")...))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p[firstSector*sector:])
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		p = append(make([]byte, firstSector*sector), p...)
		v, err := Driver{}.Open(context.Background(), []blockdev.Device{blockdev.FromBytes(p)}, filesys.Options{Limits: ondisk.Limits{Entries: 1000}})
		if err != nil {
			return
		}
		tree, err := v.Root("")
		if err != nil {
			t.Fatal(err)
		}
		walk(t, tree, tree.Root(), 8, new(int))
	})
}

// walk reads a little of everything.
func walk(t *testing.T, f filesys.FS, n filesys.Node, depth int, seen *int) {
	if *seen++; *seen > 300 || depth == 0 {
		return
	}
	a, _ := f.Attr(n)
	f.Xattrs(n)
	f.Readlink(n)
	if dev, err := f.Open(n); err == nil {
		if dev.Size() != a.Size {
			t.Errorf("%d bytes, not %d", dev.Size(), a.Size)
		}
		p := make([]byte, 5000)
		for _, off := range []int64{0, a.Size / 2, a.Size - 1} {
			if off >= 0 && off < a.Size {
				if _, err := blockdev.NextExtent(dev, off, min(a.Size-off, 1<<20)); err != nil {
					t.Error(err)
				}
				dev.ReadAt(p, off)
			}
		}
	}
	list, _ := f.ReadDir(n)
	for i, d := range list {
		if i < 10 {
			f.Lookup(n, d.Name)
		}
		walk(t, f, d.Node, depth-1, seen)
	}
}
