//go:build linux

package xfs

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// checkFree compares the free extents with those that xfs_db(8) finds.
func checkFree(t testing.TB, image string) {
	t.Helper()
	v := open(t, fsedittest.OpenImage(t, image))
	got, err := v.FreeExtents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var want []filesys.Range
	for line := range strings.Lines(testtool.Run(t, "xfs_db", "-r", "-c", "freesp -d", image)) {
		var ag, start, n int64
		if k, _ := fmt.Sscan(line, &ag, &start, &n); k == 3 && len(strings.Fields(line)) == 3 {
			want = append(want, filesys.Range{Off: (ag*int64(v.agBlocks) + start) * v.blockSize, Len: n * v.blockSize})
		}
	}
	kept := map[int64]bool{} // of the AGFLs, which xfs_db lists too
	for ag := range v.agCount {
		h, _, err := v.agf(ag)
		if err != nil {
			t.Fatal(err)
		}
		list, err := v.agfl(ag, h)
		if err != nil {
			t.Fatal(err)
		}
		for _, nr := range list {
			kept[v.byteOff(v.fsblock(ag, nr))] = true
		}
	}
	want = slices.DeleteFunc(want, func(r filesys.Range) bool { return r.Len == v.blockSize && kept[r.Off] })
	slices.SortFunc(want, func(a, b filesys.Range) int { return int(a.Off - b.Off) })
	if !slices.Equal(got, want) {
		t.Errorf("%d free extents, xfs_db has %d\n%v\n%v", len(got), len(want), got, want)
	}
}

// TestFreeIsFree overwrites everything that is called free: nobody notices.
func TestFreeIsFree(t *testing.T) {
	for _, i := range []int{0, 1, 5} {
		row := mkfsRows[i]
		image := row.mkfs(t)
		dir, unmount := fsedittest.Mount(t, image, "")
		row.fill(t, dir)
		unmount()
		free, err := open(t, fsedittest.OpenImage(t, image)).FreeExtents(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := readImage(t, image)
		scribble(t, image, free)
		checkRepair(t, image)
		fsedittest.Compare(t, want, readImage(t, image), fsedittest.Ignore{})
		dir, unmount = fsedittest.Mount(t, image, "")
		fsedittest.Compare(t, want, fsedittest.ReadHost(t, dir), kernelOnly)
		unmount()
	}
}

// checkRepair fails the test unless xfs_repair(8) finds nothing at all, and says so.
func checkRepair(t testing.TB, image string) {
	t.Helper()
	out, err := testtool.Try(t, "xfs_repair", "-n", "-o", "force_geometry", image)
	if err != nil {
		t.Errorf("xfs_repair -n: %v\n%s", err, out)
		return
	}
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		known := func(start string) bool { return strings.HasPrefix(line, start) }
		if !slices.ContainsFunc([]string{"Phase ", "- ", "No modify flag set", "Cannot get host", "Repair may fail", "the image and the host"}, known) {
			t.Errorf("xfs_repair -n: %s", line)
		}
	}
}

// scribble overwrites ranges of an image.
func scribble(t testing.TB, image string, ranges []filesys.Range) {
	t.Helper()
	f, err := os.OpenFile(image, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, r := range ranges {
		if _, err := f.WriteAt(slices.Repeat([]byte{0xA5}, int(r.Len)), r.Off); err != nil {
			t.Fatal(err)
		}
	}
}
