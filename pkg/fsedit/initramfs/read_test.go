package initramfs

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

const (
	reg = 0o100644
	dir = 0o040755
	lnk = 0o120777
)

// noise compresses to about half, so that frames have several blocks.
func noise(n int) string {
	p := make([]byte, n)
	rng := rand.New(rand.NewSource(1))
	for i := range p {
		p[i] = "0123456789abcdef"[rng.Intn(16)]
	}
	return string(p)
}

// TestMethods reads microcode, a compressed archive and a plain one behind it,
// and wants the compressed frame to end at the very byte where it does.
func TestMethods(t *testing.T) {
	big := noise(1_000_001)
	early := pack(t, tree(t, "kernel/x86/microcode/GenuineIntel.bin", "microcode"))
	main := pack(t, tree(t, "init", "#!/bin/sh\n", "usr/lib/big", big, "lib", "-> usr/lib", "etc/x", "old", "etc/y", "y"))
	over := entries(t, "etc/x", reg, "new", "usr/lib/modules", dir, "", "lib/modules/f", reg, "through a link")
	for method := range compressors {
		t.Run(string(method), func(t *testing.T) {
			packed := compress(t, method, main)
			file := slices.Concat(early, packed, make([]byte, 8+(-len(packed)&3)), over)
			m := read(t, file, Options{Keep: func(path string, _ int64) bool { return path == "etc/y" }})
			segs := m.Segments()
			last := segs[len(segs)-1]
			if len(segs) != 3 || segs[1].Method != method || last.Off != int64(len(file)-len(over)) || !segs[0].Early {
				t.Fatalf("%+v", segs)
			}
			if method != None && segs[1].Len != int64(len(packed)) {
				t.Errorf("a frame of %d bytes, want %d", segs[1].Len, len(packed))
			}
			for path, want := range map[string]string{
				"etc/x": "new", "/etc/y": "y", "lib/big": big, "init": "#!/bin/sh\n",
				"usr/lib/modules/f": "through a link", "lib/modules/../modules/f": "through a link",
				"kernel/x86/microcode/GenuineIntel.bin": "microcode",
			} {
				if got := content(t, m, path); got != want {
					t.Errorf("%s: %.40q, want %.40q", path, got, want)
				}
			}
		})
	}
}

func TestLZOIsNamed(t *testing.T) {
	data := []byte("\x89LZO\x00\r\n\x1a\n\x10\x40") // as lzop(1) begins a file
	_, err := Read(bytes.NewReader(data), int64(len(data)), Options{})
	if !errors.Is(err, ondisk.ErrUnsupported) {
		t.Fatal(err)
	}
}

// TestKernelSemantics has the rules of init/initramfs.c that differ from tar.
func TestKernelSemantics(t *testing.T) {
	links := tree(t, "a", "shared", "usr/", "")
	for _, name := range []string{"b", "c"} {
		if err := os.Link(filepath.Join(links, "a"), filepath.Join(links, name)); err != nil {
			t.Fatal(err)
		}
	}
	file := slices.Concat(
		pack(t, links),
		entries(t, "lib", lnk, "usr", "usr/f", reg, "1", "full", dir, "", "full/x", reg, "x",
			"loop", lnk, "loop2", "loop2", lnk, "/loop", "abs", lnk, "/usr/f"),
		entries(t,
			"lib", dir, "", // destroys the link
			"full", reg, "y", // cannot replace a directory that is in use
			"nowhere/f", reg, "z", // has no parent
			"b", reg, "changed", // under all its names
			"dev/console", reg, ""),
	)
	m := read(t, file, Options{})
	if e, ok := m.Lookup("lib"); !ok || !e.IsDir() {
		t.Error("lib is still a link")
	}
	if e, _ := m.Lookup("full"); !e.IsDir() {
		t.Error("full was replaced")
	}
	if _, ok := m.Lookup("nowhere/f"); ok {
		t.Error("a file without a directory")
	}
	for _, name := range []string{"a", "b", "c"} {
		if got := content(t, m, name); got != "changed" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if e, _ := m.Lookup("a"); e.Links() != 3 {
		t.Errorf("%d links", e.Links())
	}
	if got := content(t, m, "abs"); got != "1" {
		t.Error(got)
	}
	if _, err := m.Content("loop"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a circle of links:", err)
	}
	if _, ok := m.Lookup("dev/console"); !ok {
		t.Error("dev is there in every kernel")
	}
	var under []string
	for e := range m.Under("full") {
		under = append(under, e.Path)
	}
	if !slices.Equal(under, []string{"full/x"}) {
		t.Error(under)
	}
}

// TestEarlyWithoutDirectories: the kernel's scan for microcode needs none.
func TestEarlyWithoutDirectories(t *testing.T) {
	m := read(t, entries(t, "kernel/x86/microcode/AuthenticAMD.bin", reg, "x"), Options{})
	if !m.Segments()[0].Early {
		t.Error("not early")
	}
}

func TestDamage(t *testing.T) {
	archive := pack(t, tree(t, "f", noise(100_000)))
	ext2 := make([]byte, 4096)
	copy(ext2[0x438:], "\x53\xef")
	for name, tc := range map[string]struct {
		data []byte
		want error
	}{
		"empty":     {nil, ondisk.ErrFormat},
		"NULs":      {make([]byte, 5000), ondisk.ErrFormat},
		"text":      {[]byte("hello"), ondisk.ErrFormat},
		"unaligned": {append(slices.Concat(archive, []byte{0}), archive...), ondisk.ErrCorrupt},
		"junk":      {append(bytes.Clone(archive), "junk"...), ondisk.ErrCorrupt},
		"ext2":      {pipe(t, ext2, "gzip"), ondisk.ErrUnsupported},
		"u-boot":    {[]byte("\x27\x05\x19\x56xxxx"), ondisk.ErrUnsupported},
		"big":       {compress(t, XZ, make([]byte, 10<<20)), ondisk.ErrCorrupt},
	} {
		m, err := Read(bytes.NewReader(tc.data), int64(len(tc.data)), Options{})
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		if m == nil {
			t.Errorf("%s: no image beside the error", name)
		}
	}
	for method := range compressors {
		data := compress(t, method, archive)
		_, err := Read(bytes.NewReader(data), int64(len(data)/2), Options{})
		if !errors.Is(err, ondisk.ErrCorrupt) {
			t.Errorf("%s cut in half: %v", method, err)
		}
		_, err = Read(bytes.NewReader(data), int64(len(data)), Options{Limits: ondisk.Limits{File: 50_000}})
		if method != None && !errors.Is(err, ondisk.ErrTooBig) {
			t.Errorf("%s over the limit: %v", method, err)
		}
	}
}

// failing is a disk that breaks.
type failing struct{}

func (failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > 3000 {
		return 0, iotest.ErrTimeout
	}
	clear(p)
	copy(p, "\x1f\x8b\x08")
	return len(p), nil
}

func TestFailingDiskIsNotDamage(t *testing.T) {
	_, err := Read(failing{}, 1<<20, Options{})
	if !errors.Is(err, iotest.ErrTimeout) || errors.Is(err, ondisk.ErrCorrupt) {
		t.Fatal(err)
	}
}

func TestGenerators(t *testing.T) {
	for want, files := range map[Generator][]string{
		{InitramfsTools, false, true}: {"init", "#!/bin/sh", "scripts/functions", "", "conf/initramfs.conf", "", "conf/arch.conf", "", "sbin/udevadm", ""},
		{Dracut, true, true}:          {"init", "-> usr/lib/systemd/systemd", "usr/lib/systemd/systemd", "", "usr/lib/dracut/hooks/x", "", "usr/lib/systemd/systemd-udevd", "", "lib", "-> usr/lib"},
		{Dracut, false, true}:         {"init", "#!/bin/sh", "dracut-004-409.el6", "", "sbin/udevd", ""},
		{Mkinitcpio, false, false}:    {"init", "#!/usr/bin/ash", "init_functions", "", "config", "", "buildconfig", ""},
		{Mkinitcpio, true, false}:     {"init", "-> usr/lib/systemd/systemd", "usr/lib/systemd/systemd", "", "etc/initrd-release", "", "buildconfig", ""},
		{Mkinitfs, false, false}:      {"init", "#!/bin/sh\nnlplug-findfs -p", "bin/busybox", ""},
		{MkinitrdNash, false, false}:  {"init", "#!/bin/nash\n", "bin/nash", ""},
		{MkinitrdSUSE, false, true}:   {"init", "#!/bin/bash", "run_all.sh", "", "sbin/udevd", ""},
		{Linuxrc, false, false}:       {"linuxrc", "#!/bin/sash"},
		{Booster, false, false}:       {"init", "\x7fELF", "etc/booster.init.yaml", ""},
		{Genkernel, false, false}:     {"init", "#!/bin/sh", "etc/initrd.defaults", "", "etc/initrd.scripts", ""},
		{Busybox, false, false}:       {"init", "#!/bin/busybox sh", "bin/busybox", ""},
		{Unknown, false, false}:       {"init", "\x7fELF"},
	} {
		if got := read(t, pack(t, tree(t, files...)), Options{}).Generator(); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// TestRealImage reads what Debian's own generator makes of this machine.
func TestRealImage(t *testing.T) {
	testtool.Need(t, "mkinitramfs")
	versions, _ := filepath.Glob("/lib/modules/*-amd64")
	if len(versions) == 0 {
		t.Fatal("this test needs the Debian package linux-image-amd64")
	}
	out := filepath.Join(t.TempDir(), "initrd")
	conf := filepath.Join(t.TempDir(), "initramfs-tools")
	testtool.Run(t, "cp", "-r", "/etc/initramfs-tools", conf)
	testtool.Run(t, "sh", "-c", "printf 'MODULES=list\\nCOMPRESS=zstd\\n' >> "+conf+"/initramfs.conf; echo virtio_blk >> "+conf+"/modules")
	testtool.Run(t, "mkinitramfs", "-d", conf, "-o", out, filepath.Base(versions[0]))
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	m := read(t, data, Options{})
	if g := m.Generator(); g.Kind != InitramfsTools || !g.Udev || !slices.Contains(m.Methods(), Zstd) {
		t.Error(g, m.Methods())
	}
	plain := filepath.Join(t.TempDir(), "plain")
	testtool.Run(t, "unmkinitramfs", out, plain)
	seen := 0
	for e := range m.Entries() {
		info, err := os.Lstat(filepath.Join(plain, e.Path))
		if err != nil {
			t.Fatal(err)
		}
		if e.IsRegular() && info.Size() != e.Size() || e.IsDir() != info.IsDir() {
			t.Errorf("%s: %d bytes, want %d", e.Path, e.Size(), info.Size())
		}
		seen++
	}
	var want int
	filepath.WalkDir(plain, func(string, fs.DirEntry, error) error { want++; return nil })
	if seen != want-1 { // the root is no entry
		t.Errorf("%d entries, want %d", seen, want-1)
	}
	kv := filepath.Base(versions[0])
	got := content(t, m, "lib/modules/"+kv+"/modules.dep")
	if file, _ := os.ReadFile(filepath.Join(plain, "usr/lib/modules", kv, "modules.dep")); got != string(file) {
		t.Error("modules.dep differs")
	}
}

func FuzzRead(f *testing.F) {
	archive := entries(f, "etc", dir, "", "etc/x", reg, "x", "l", lnk, "etc", "l/y", reg, "y")
	for method := range compressors {
		f.Add(slices.Concat(archive, compress(f, method, archive), make([]byte, 8), archive))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		small := ondisk.Limits{File: 1 << 20, Entries: 1000, Cache: 1 << 20, Text: 1 << 16}
		m, _ := Read(bytes.NewReader(data), int64(len(data)), Options{Limits: small})
		m.Generator()
		m.OwnSegment()
		for e := range m.Entries() {
			if e.IsRegular() {
				m.Content(e.Path)
				break
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	var list []any
	for i := range 300 {
		list = append(list, "f"+string(rune('A'+i)), reg, noise(400_000))
	}
	data := compress(b, Zstd, entries(b, list...))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		read(b, data, Options{})
	}
}
