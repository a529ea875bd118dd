package lvm_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/fsedit/volume/gpt"
	"github.com/vmconv/vmconv/pkg/fsedit/volume/internal/fixture"
	"github.com/vmconv/vmconv/pkg/fsedit/volume/lvm"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

var group = sync.OnceValues(func() (fixture.Set, error) {
	f, err := os.Open("testdata/group.tar.xz")
	if err != nil {
		return fixture.Set{}, err
	}
	defer f.Close()
	return fixture.Load(f)
})

// kernelGroup is the disks of a group that the kernel has filled, under overlays.
func kernelGroup(t testing.TB) ([]blockdev.Device, map[string]string) {
	t.Helper()
	set, err := group()
	if err != nil {
		t.Fatal(err)
	}
	var disks []blockdev.Device
	for _, name := range []string{"a.img", "b.img", "c.img"} {
		disks = append(disks, blockdev.NewOverlay(set.Disks[name], blockdev.OverlayOptions{}))
	}
	return disks, set.Sums
}

func discover(t *testing.T, disks []blockdev.Device) (map[string]volume.Volume, string) {
	t.Helper()
	var notices []string
	vols, err := volume.Discover(context.Background(), disks, []volume.Mapper{gpt.Mapper{}, lvm.Mapper{}},
		volume.DiscoverOptions{Options: volume.Options{Notice: func(s string) { notices = append(notices, s) }}})
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]volume.Volume{}
	for _, v := range vols {
		byName[strings.TrimPrefix(v.ID, "vg-one/")] = v
	}
	return byName, strings.Join(notices, "\n")
}

// refused are the volumes of the fixture that are named and not read.
var refused = []string{"raid5", "snap", "zero"}

// readOnly are those that cannot be written.
var readOnly = []string{"raid10", "origin", "slow", "thin1", "thin2", "thinsnap"}

// TestKernelGroup: each volume has the bytes that the kernel has read from it.
func TestKernelGroup(t *testing.T) {
	disks, sums := kernelGroup(t)
	vols, notices := discover(t, disks)
	for name, want := range sums {
		v, ok := vols[name]
		if ok == slices.Contains(refused, name) || !ok && !strings.Contains(notices, "vg-one/"+name+" is left out") {
			t.Errorf("%s is there: %v; notices:\n%s", name, ok, notices)
		}
		if !ok {
			continue
		}
		h := sha256.New()
		if _, err := io.Copy(h, io.NewSectionReader(v.Device, 0, v.Len)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := fmt.Sprintf("%x", h.Sum(nil)); got != want {
			t.Errorf("%s of %d bytes differs from what the kernel reads", name, v.Len)
		}
		if _, ok := v.Device.(blockdev.Writable); ok == slices.Contains(readOnly, name) {
			t.Errorf("%s can be written: %v", name, ok)
		}
	}
	t.Logf("notices:\n%s", notices)
}

// TestExtents: where a volume is said to be zero, it is; and all of a large thin
// volume is told in few steps.
func TestExtents(t *testing.T) {
	disks, sums := kernelGroup(t)
	vols, _ := discover(t, disks)
	for name := range sums {
		v, ok := vols[name]
		if !ok {
			continue
		}
		steps := 0
		for off := int64(0); off < v.Len; steps++ {
			e, err := blockdev.NextExtent(v.Device, off, v.Len-off)
			if err != nil {
				t.Fatal(err)
			}
			p := make([]byte, e.Len)
			if _, err := v.Device.ReadAt(p, off); err != nil && err != io.EOF {
				t.Fatal(err)
			}
			if e.Kind == blockdev.Zero && strings.Trim(string(p), "\x00") != "" {
				t.Fatalf("%s: %d+%d is not zero", name, off, e.Len)
			}
			off = e.End()
		}
		if strings.HasPrefix(name, "thin") && steps > 2000 {
			t.Errorf("%s: %d extents", name, steps)
		}
	}
}

// TestWriteAndSpans writes into volumes, which changes none of the others, and only
// where their spans are.
func TestWriteAndSpans(t *testing.T) {
	disks, sums := kernelGroup(t)
	vols, _ := discover(t, disks)
	before := map[string][]byte{}
	for name := range sums {
		if v, ok := vols[name]; ok {
			before[name] = make([]byte, v.Len)
			if _, err := v.Device.ReadAt(before[name], 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	for name, want := range before {
		w, ok := vols[name].Device.(blockdev.Writable)
		if !ok {
			continue
		}
		for range 10 {
			n := 1 + r.IntN(len(want)/3)
			off := r.IntN(len(want) - n)
			for i := off; i < off+n; i++ {
				want[i] = byte(r.Uint32())
			}
			if _, err := w.WriteAt(want[off:off+n], int64(off)); err != nil {
				t.Fatal(err)
			}
		}
	}
	again, _ := discover(t, disks)
	for name, want := range before {
		if same(name, "origin", "snap") {
			continue
		}
		got := make([]byte, len(want))
		if _, err := again[name].Device.ReadAt(got, 0); err != nil || string(got) != string(want) {
			t.Errorf("%s is not what was written (%v)", name, err)
		}
	}
	checkSpans(t, disks, again, before)
}

func same(name string, list ...string) bool { return slices.Contains(list, name) }

// checkSpans destroys what spans say, disk by disk, and looks what is changed.
func checkSpans(t *testing.T, disks []blockdev.Device, vols map[string]volume.Volume, before map[string][]byte) {
	for name, want := range before {
		v := vols[name]
		off, n := v.Len/5, v.Len/2
		var over []blockdev.Device
		for _, d := range disks {
			over = append(over, blockdev.NewOverlay(d, blockdev.OverlayOptions{}))
		}
		spans := v.Spans(off, n)
		if strings.HasPrefix(name, "thin") {
			if len(spans) > 0 {
				t.Errorf("%s has %d spans, and its blocks are shared", name, len(spans))
			}
			continue
		}
		for _, s := range spans {
			member := vols[v.Members[slices.Index(v.On, s.Member)]]
			w := over[member.Disk].(blockdev.Writable)
			if _, err := w.WriteAt([]byte(strings.Repeat("\xa5", int(s.Len))), member.Off+s.Off); err != nil {
				t.Fatal(err)
			}
		}
		changed, _ := discover(t, over)
		for other, bytes := range before {
			got := make([]byte, len(bytes))
			if _, err := changed[other].Device.ReadAt(got, 0); err != nil {
				t.Errorf("%s: %v", other, err)
				continue
			}
			from, to := int64(0), int64(0)
			if other == name {
				from, to = off, off+n
			}
			if string(got[:from]) != string(bytes[:from]) || string(got[to:]) != string(bytes[to:]) {
				t.Errorf("the spans of %s change %s elsewhere", name, other)
			}
		}
		gone := make([]byte, n)
		changed[name].Device.ReadAt(gone, off)
		if left := len(strings.ReplaceAll(string(gone), "\xa5", "")); left > 1<<20 || string(gone) == string(want[off:off+n]) {
			t.Errorf("%s: the spans leave %d of %d bytes", name, left, n)
		}
	}
}

// TestMissingLeg: mirrors work without one of their disks, read only.
func TestMissingLeg(t *testing.T) {
	disks, sums := kernelGroup(t)
	for gone := range disks {
		vols, notices := discover(t, slices.Delete(slices.Clone(disks), gone, gone+1))
		if !strings.Contains(notices, "is missing") {
			t.Errorf("nothing is said of the missing disk %d", gone)
		}
		for _, name := range []string{"raid1", "mirror", "mirlog"} {
			v, ok := vols[name]
			if !ok {
				t.Errorf("no %s without disk %d:\n%s", name, gone, notices)
				continue
			}
			p := make([]byte, v.Len)
			if _, err := v.Device.ReadAt(p, 0); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%x", sha256.Sum256(p)); got != sums[name] {
				t.Errorf("%s differs without disk %d", name, gone)
			}
			_, writable := v.Device.(blockdev.Writable)
			if touched := gone < 2; writable == touched {
				t.Errorf("%s without disk %d can be written: %v", name, gone, writable)
			}
		}
	}
}
