package md_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/fsedit/volume/gpt"
	"github.com/vmconv/vmconv/pkg/fsedit/volume/internal/fixture"
	"github.com/vmconv/vmconv/pkg/fsedit/volume/md"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

var arrays = sync.OnceValues(func() (fixture.Set, error) {
	f, err := os.Open("testdata/arrays.tar.xz")
	if err != nil {
		return fixture.Set{}, err
	}
	defer f.Close()
	return fixture.Load(f)
})

// disk is the disk of the fixture; each array has partitions of its own.
func disk(t testing.TB) (blockdev.Device, fixture.Set) {
	t.Helper()
	set, err := arrays()
	if err != nil {
		t.Fatal(err)
	}
	return set.Disks["m.img"], set
}

func discover(t *testing.T, disks ...blockdev.Device) (map[string]volume.Volume, []string) {
	t.Helper()
	var notices []string
	vols, err := volume.Discover(context.Background(), disks, []volume.Mapper{md.Mapper{}, gpt.Mapper{}},
		volume.DiscoverOptions{Options: volume.Options{Notice: func(s string) { notices = append(notices, s) }}})
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]volume.Volume{}
	for _, v := range vols {
		byName[v.ID] = v
	}
	return byName, notices
}

// TestKernelArrays: each array has the bytes that the kernel has read from it.
func TestKernelArrays(t *testing.T) {
	dev, set := disk(t)
	vols, notices := discover(t, dev)
	all := strings.Join(notices, "\n")
	for name, want := range set.Sums {
		v, ok := find(vols, name)
		if !ok {
			if name != "five" && name != "tenfar" || !strings.Contains(all, name+" (") {
				t.Errorf("no array %s in:\n%s", name, all)
			}
			continue
		}
		h := sha256.New()
		if _, err := io.Copy(h, io.NewSectionReader(v.Device, 0, v.Len)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := fmt.Sprintf("%x", h.Sum(nil)); got != want {
			t.Errorf("%s of %d bytes differs from what the kernel reads", name, v.Len)
		}
	}
	t.Logf("notices:\n%s", all)
}

// find is an array by the name it was made with; version 0.90 has no names, and
// the script counts them by their first partition.
func find(vols map[string]volume.Volume, name string) (volume.Volume, bool) {
	if v, ok := vols["md/"+name]; ok {
		return v, true
	}
	for _, v := range vols {
		if v.Kind == "md" && old[name] == v.Members[0] {
			return v, true
		}
	}
	return volume.Volume{}, false
}

var old = map[string]string{"raid0old": "sda9", "mirror090": "sda17", "linear090": "sda24", "ten090": "sda34"}

// TestExamine: mdadm sees what we see.
func TestExamine(t *testing.T) {
	testtool.Need(t, "mdadm")
	dev, _ := disk(t)
	vols, _ := discover(t, dev)
	part := filepath.Join(t.TempDir(), "part")
	for _, v := range vols {
		if v.Kind != "md" {
			continue
		}
		for _, id := range v.Members {
			p := make([]byte, vols[id].Len)
			if _, err := vols[id].Device.ReadAt(p, 0); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(part, p, 0o600); err != nil {
				t.Fatal(err)
			}
			out := testtool.Run(t, "mdadm", "--examine", part)
			for _, want := range []string{`UUID : ` + v.UUID, `Raid Level : ` + v.Type, `(?i)checksum : [0-9a-f]+ - correct`} {
				if !regexp.MustCompile(want).MatchString(out) {
					t.Errorf("%s: no %q in\n%s", id, want, out)
				}
			}
		}
	}
}

// TestWriteEveryLeg writes through arrays, and reads it back with members missing.
func TestWriteEveryLeg(t *testing.T) {
	dev, set := disk(t)
	r := rand.New(rand.NewPCG(7, 7))
	over := blockdev.NewOverlay(dev, blockdev.OverlayOptions{})
	vols, _ := discover(t, over)
	for name := range set.Sums {
		v, ok := find(vols, name)
		if !ok {
			continue
		}
		w, ok := v.Device.(blockdev.Writable)
		if ok != (v.Type != "raid10") {
			t.Errorf("%s can be written: %v", name, ok)
		}
		if !ok {
			continue
		}
		for range 20 {
			p := make([]byte, 1+r.IntN(200<<10))
			for i := range p {
				p[i] = byte(r.Uint32())
			}
			off := r.Int64N(v.Len - int64(len(p)))
			if _, err := w.WriteAt(p, off); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(p))
			if _, err := v.Device.ReadAt(got, off); err != nil || string(got) != string(p) {
				t.Fatalf("%s: %d bytes at %d are not what was written (%v)", name, len(p), off, err)
			}
			for _, leg := range legsAlone(t, vols, v) {
				if _, err := leg.ReadAt(got, off); err != nil || string(got) != string(p) {
					t.Fatalf("%s: a leg alone differs at %d (%v)", name, off, err)
				}
			}
		}
	}
}

// legsAlone is the array as each in-sync member alone shows it, where one does.
func legsAlone(t *testing.T, vols map[string]volume.Volume, v volume.Volume) (alone []blockdev.Device) {
	if v.Type != "raid1" {
		return nil
	}
	for i, id := range v.Members {
		if strings.HasSuffix(v.ID, "lagging") && i == len(v.Members)-1 {
			continue
		}
		got, err := md.Mapper{}.Map(context.Background(), []blockdev.Device{vols[id].Device}, volume.Options{})
		if err != nil || len(got) != 1 {
			t.Fatalf("%s alone: %v (%v)", id, got, err)
		}
		if _, ok := got[0].Device.(blockdev.Writable); ok {
			t.Errorf("%s alone can be written", id)
		}
		alone = append(alone, got[0].Device)
	}
	return alone
}

// TestSpans: what is written where the spans of a range lie, and only that, changes
// the range.
func TestSpans(t *testing.T) {
	dev, set := disk(t)
	r := rand.New(rand.NewPCG(8, 8))
	for name := range set.Sums {
		vols, _ := discover(t, dev)
		v, ok := find(vols, name)
		if !ok {
			continue
		}
		n := 1 + r.Int64N(v.Len/2)
		off := r.Int64N(v.Len - n)
		over := blockdev.NewOverlay(dev, blockdev.OverlayOptions{})
		sum := int64(0)
		for _, s := range v.Spans(off, n) {
			part := vols[v.Members[s.Member-v.On[0]]]
			junk := make([]byte, s.Len)
			for i := range junk {
				junk[i] = 0xa5
			}
			if _, err := over.WriteAt(junk, part.Off+s.Off); err != nil {
				t.Fatal(err)
			}
			sum += s.Len
		}
		if sum < n-2<<20 || sum == 0 {
			t.Errorf("%s: the spans of %d bytes have %d", name, n, sum)
		}
		changed, _ := discover(t, over)
		w, _ := find(changed, name)
		before, after := make([]byte, v.Len), make([]byte, v.Len)
		v.Device.ReadAt(before, 0)
		w.Device.ReadAt(after, 0)
		if string(before[:off]) != string(after[:off]) || string(before[off+n:]) != string(after[off+n:]) {
			t.Errorf("%s: spans of %d+%d lie outside of it", name, off, n)
		}
	}
}
