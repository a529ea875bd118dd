//go:build linux

package squashfs

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

func TestLayout(t *testing.T) {
	for name, sizes := range map[string][2]int{
		"super": {binary.Size(super{}), superSize}, "head": {binary.Size(head{}), headSize}, "fragment": {binary.Size(fragment{}), fragmentSize},
		"xattrID": {binary.Size(xattrID{}), xattrIDSize}, "xattrHead": {binary.Size(xattrHead{}), xattrHeadSize},
		"dirHead": {binary.Size(dirHead{}), dirHeadSize}, "dirEntry": {binary.Size(dirEntry{}), dirEntrySize},
	} {
		if sizes[0] != sizes[1] {
			t.Errorf("%s takes %d bytes, not %d", name, sizes[0], sizes[1])
		}
	}
}

func TestDecoders(t *testing.T) {
	p := make([]byte, 16)
	for k := range p {
		p[k] = byte(0x91 + 23*k)
	}
	var h head
	var d dirHead
	var e dirEntry
	for _, x := range []any{&h, &d, &e} {
		if _, err := binary.Decode(p, le, x); err != nil {
			t.Fatal(err)
		}
	}
	if h != decodeHead(p) || d != decodeDirHead(p) || e != decodeDirEntry(p) {
		t.Errorf("%+v %+v %+v", decodeHead(p), decodeDirHead(p), decodeDirEntry(p))
	}
}

// made lets mksquashfs pack a folder.
func made(t testing.TB, dir string, args ...string) string {
	t.Helper()
	img := filepath.Join(t.TempDir(), "image")
	testtool.Run(t, "mksquashfs", append([]string{dir, img, "-quiet", "-no-progress"}, args...)...)
	return img
}

func open(t testing.TB, dev blockdev.Device) filesys.Volume {
	t.Helper()
	match, id, err := Driver{}.Probe(dev)
	if err != nil || match != ondisk.Sure || id.Type != "squashfs" {
		t.Fatal(match, id, err)
	}
	v, err := Driver{}.Open(t.Context(), []blockdev.Device{dev}, filesys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func root(t testing.TB, v filesys.Volume) filesys.FS {
	t.Helper()
	f, err := v.Root("")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A tree of every kind reads as the kernel's mount of it does, however it was
// packed.
func TestAgainstKernel(t *testing.T) {
	testtool.Need(t, "mksquashfs", "mount")
	dir := t.TempDir()
	fsedittest.Populate{Entries: 600, NoACLs: true, Far: 8 << 20}.Fill(t, dir)
	text := strings.Repeat("All work and no play makes Jack a dull boy.\n", 100000)
	if err := os.WriteFile(filepath.Join(dir, "text"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	rows := [][]string{
		{"-comp", "gzip"}, {"-comp", "xz", "-b", "1M"}, {"-comp", "zstd", "-b", "4K"}, {"-comp", "lz4"},
		{"-comp", "gzip", "-b", "8K", "-no-fragments"}, {"-comp", "gzip", "-noI", "-noD", "-noF", "-noX", "-noId"},
		{"-comp", "xz", "-Xdict-size", "25%"}, {"-comp", "zstd", "-always-use-fragments"}, {"-comp", "lz4", "-Xhc", "-b", "1M"}, {"-comp", "gzip", "-no-sparse", "-no-duplicates"},
	}
	for _, args := range testtool.Some(5, rows) {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			img := made(t, dir, args...)
			mounted, unmount := fsedittest.Mount(t, img, "ro")
			want := fsedittest.ReadHost(t, mounted)
			unmount()
			fsedittest.Compare(t, want, fsedittest.ReadFS(t, root(t, open(t, fsedittest.OpenImage(t, img)))), fsedittest.Ignore{Blocks: true})
		})
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "text"), []byte(strings.Repeat("text ", 100000)), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{{"lzo"}, {"lzma"}} {
		p, err := os.ReadFile(made(t, dir, append([]string{"-comp"}, c...)...))
		if err != nil {
			t.Fatal(err)
		}
		_, err = Driver{}.Open(t.Context(), []blockdev.Device{blockdev.FromBytes(p)}, filesys.Options{})
		if !errors.Is(err, ondisk.ErrUnsupported) || !strings.Contains(err.Error(), c[0]) {
			t.Errorf("%s: %v", c, err)
		}
	}
	p, err := os.ReadFile(made(t, dir, "-comp", "xz", "-Xbcj", "x86"))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := (Driver{}).Open(t.Context(), []blockdev.Device{blockdev.FromBytes(p)}, filesys.Options{}); err == nil {
		if _, err := fsedittest.WalkFS(root(t, v)); err != nil && !errors.Is(err, ondisk.ErrUnsupported) {
			t.Errorf("filters: %v", err)
		}
	}
	v := open(t, blockdev.FromBytes(p))
	if _, err := v.Edit(filesys.EditOptions{}); !errors.Is(err, ondisk.ErrReadOnly) || v.Info().ReadOnly == "" {
		t.Errorf("edit: %v", err)
	}
	if r, err := v.FreeExtents(t.Context()); len(r) > 0 || err != nil {
		t.Errorf("free: %v, %v", r, err)
	}
	for _, n := range []int{0, 95, 96, int(le.Uint64(p[40:])) - 1} {
		match, _, err := Driver{}.Probe(blockdev.FromBytes(p[:n]))
		if want := map[bool]ondisk.Match{true: ondisk.None, false: ondisk.Maybe}[n < 96]; match != want || err != nil {
			t.Errorf("cut to %d bytes: %v, %v", n, match, err)
		}
	}
}

// FuzzOpen changes unpacked images: there the fuzzer reaches inodes, directories
// and tables.
func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	for name, text := range map[string]string{"a": "text", "b": strings.Repeat("x", 20000), "d/e": "", "d/f": strings.Repeat("\x00", 9000)} {
		name = filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(name), 0o755)
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			f.Fatal(err)
		}
	}
	os.Symlink("a", filepath.Join(dir, "l"))
	testtool.Run(f, "setfattr", "-n", "user.x", "-v", "value", filepath.Join(dir, "a"))
	for _, args := range [][]string{{"-noI", "-noD", "-noF", "-noX", "-noId", "-b", "4K"}, {"-b", "4K"}, {"-comp", "xz"}, {"-comp", "zstd"}, {"-comp", "lz4"}} {
		p, err := os.ReadFile(made(f, dir, append(args, "-nopad")...))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		ctx := context.Background()
		v, err := Driver{}.Open(ctx, []blockdev.Device{blockdev.FromBytes(p)}, filesys.Options{Limits: ondisk.Limits{Table: 1 << 16, Entries: 1000}})
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
	if *seen++; *seen > 500 || depth == 0 {
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
				dev.ReadAt(p, off)
				if _, err := blockdev.NextExtent(dev, off, min(a.Size-off, 1<<20)); err != nil {
					t.Error(err)
				}
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
