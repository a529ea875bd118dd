//go:build linux

package main

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/formats"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// kind is one way in which an image that is changed in place lies on the host.
type kind struct {
	name    string
	format  string // as it is registered
	driver  string // as QEMU calls it
	options string // of qemu-img convert -o
	main    bool   // the one of its format that is tested when time is short
}

// kinds are all of them. QEMU makes the images: what is changed is never our own.
var kinds = []kind{
	{"raw", "raw", "raw", "", true},
	{"qcow2", "qcow2", "qcow2", "", true},
	{"vhd-dynamic", "vhd", "vpc", "subformat=dynamic,force_size=on", true},
	{"vhd-fixed", "vhd", "vpc", "subformat=fixed,force_size=on", false},
	{"vdi-dynamic", "vdi", "vdi", "static=off", true},
	{"vdi-static", "vdi", "vdi", "static=on", false},
	{"vhdx-dynamic", "vhdx", "vhdx", "subformat=dynamic", true},
	{"vhdx-fixed", "vhdx", "vhdx", "subformat=fixed", false},
	{"vmdk-monolithicSparse", "vmdk", "vmdk", "subformat=monolithicSparse", true},
	{"vmdk-monolithicFlat", "vmdk", "vmdk", "subformat=monolithicFlat", false},
	{"vmdk-twoGbMaxExtentSparse", "vmdk", "vmdk", "subformat=twoGbMaxExtentSparse", true}, // two files
	{"vmdk-twoGbMaxExtentFlat", "vmdk", "vmdk", "subformat=twoGbMaxExtentFlat", false},
}

// TestKinds: a format that learns to be changed in place is tested, and a
// format that is tested can be.
func TestKinds(t *testing.T) {
	missing := map[string]bool{}
	for _, f := range formats.Default().All() {
		if _, ok := f.(imagefmt.Updater); ok {
			missing[f.Name()] = true
		}
	}
	for _, k := range kinds {
		f, err := formats.Default().Lookup(k.format)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := f.(imagefmt.Updater); !ok {
			t.Errorf("%s cannot be changed in place", k.format)
		}
		if k.main {
			delete(missing, k.format)
		}
	}
	for name := range missing {
		t.Errorf("%s can be changed in place, and no kind of it is tested", name)
	}
}

// of is a copy of a raw image in this kind, in a folder of its own.
func (k kind) of(t testing.TB, raw string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "disk."+k.format)
	args := []string{"convert", "-f", "raw", "-O", k.driver, raw, out}
	if k.options != "" {
		args = slices.Insert(args, 1, "-o", k.options)
	}
	testtool.Run(t, "qemu-img", args...)
	return out
}

// judge lets QEMU look at the image, and e2fsck at the filesystem in its first
// partition. What it returns is QEMU's copy of the disk.
func (k kind) judge(t testing.TB, img string) (plain string) {
	t.Helper()
	if k.driver != "raw" && k.driver != "vpc" { // which QEMU does not check
		testtool.Run(t, "qemu-img", "check", "-q", "-f", k.driver, img)
	}
	plain = filepath.Join(t.TempDir(), "plain")
	testtool.Run(t, "qemu-img", "convert", "-f", k.driver, "-O", "raw", img, plain)
	judge(t, plain, "raw")
	return plain
}

// onDisk is a file of the filesystem in the first partition of a raw disk, as
// debugfs sees it.
func onDisk(t testing.TB, disk, path string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "file")
	testtool.Run(t, "debugfs", "-R", "dump "+path+" "+out, disk+"?offset=1048576")
	return readFile(t, out)
}

// folder is the content of all files beside one, and its own, by name.
type folder map[string][]byte

func readFolder(t testing.TB, path string) folder {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	files := folder{}
	for _, e := range entries {
		files[e.Name()] = readFile(t, filepath.Join(filepath.Dir(path), e.Name()))
	}
	return files
}

// write makes the folder that path lies in hold these files and no others.
func (f folder) write(t testing.TB, path string) {
	t.Helper()
	dir := filepath.Dir(path)
	for name := range strings.FieldsSeq(leftIn(t, dir)) {
		if _, ok := f[name]; ok {
			continue
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	for name, content := range f {
		writeSparse(t, filepath.Join(dir, name), content)
	}
}

// with is f and the files of more.
func (f folder) with(more folder) folder {
	out := maps.Clone(f)
	maps.Copy(out, more)
	return out
}

// differences names the files that are not alike.
func (f folder) differences(other folder) []string {
	var names []string
	for name := range f.with(other) {
		a, inF := f[name]
		b, inOther := other[name]
		if inF != inOther || string(a) != string(b) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
