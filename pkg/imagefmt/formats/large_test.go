package formats

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// TestLarge takes a sparse disk of 2039 GiB, the largest that all formats can
// hold, through every target once, and back to raw. VMCONV_SOAK goes from every
// target to every other.
func TestLarge(t *testing.T) {
	all := slices.DeleteFunc(targets(t), func(g target) bool {
		// A thousand files; and a VHD cannot find that many small blocks.
		return g.split() || g.opts.Values["block_size"] == "512k"
	})
	roundTripLarge(t, 2039<<30, all)
}

// TestLargeSplit does the same with 5 GiB, which are three files.
func TestLargeSplit(t *testing.T) {
	all := slices.DeleteFunc(targets(t), func(g target) bool {
		return !g.split() && g.Name() != "raw" && g.String() != "qcow2" && g.String() != "vmdk -c"
	})
	roundTripLarge(t, 5<<30, all)
}

func roundTripLarge(t *testing.T, size int64, all []target) {
	d := newTruth(t, size)
	if os.Getenv("VMCONV_SOAK") != "" {
		for _, first := range all {
			t.Run(first.String(), func(t *testing.T) {
				img := d.step(t, first, openFile(t, d.raw(t, size), "raw"))
				for _, second := range all {
					t.Run("to "+second.String(), func(t *testing.T) { d.step(t, second, img) })
				}
			})
		}
		return
	}
	img := openFile(t, d.raw(t, size), "raw")
	for _, g := range all {
		img = d.step(t, g, img)
	}
	d.step(t, rawTarget(t), img)
}

func rawTarget(t *testing.T) target {
	t.Helper()
	f, err := Default().Lookup("raw")
	if err != nil {
		t.Fatal(err)
	}
	return target{Creator: f.(imagefmt.Creator)}
}

// step converts img and judges what came out.
func (d *truth) step(t *testing.T, g target, img imagefmt.Image) imagefmt.Image {
	t.Helper()
	dir := t.TempDir()
	out := convert(t, img, g, dir)
	path := imagePath(dir, g)
	err := errors.Join(d.judgeLarge(t, g, path), d.sparse(t, out))
	if got := room(t, dir); got > d.room(g) {
		err = errors.Join(err, fmt.Errorf("%d bytes are allocated, at most %d are needed", got, d.room(g)))
	}
	if err != nil {
		t.Errorf("%v: %v", g, err)
	}
	return out
}

// sparse wants the image to be zeros but around the islands.
func (d *truth) sparse(t *testing.T, img imagefmt.Image) error {
	t.Helper()
	if img.Size() != d.size {
		return fmt.Errorf("%d bytes", img.Size())
	}
	var data int64
	for e, err := range blockdev.Extents(t.Context(), img, 0, img.Size()) {
		if err != nil {
			return err
		}
		if e.Kind == blockdev.Data {
			data += e.Len
		}
	}
	if most := d.touched(2 << 20); data > most {
		return fmt.Errorf("%d bytes are data, and at most %d should be", data, most)
	}
	return nil
}

// judgeLarge has qemu-img compare what lies around the islands, and the size.
// Over the whole of the disk it would take minutes in formats whose holes it
// reads.
func (d *truth) judgeLarge(t *testing.T, g target, path string) error {
	t.Helper()
	if g.Name() == "xva" {
		return d.judgeChunks(t, path)
	}
	name := qemuName(g.Name())
	var info struct {
		Size int64 `json:"virtual-size"`
	}
	out := testtool.Run(t, "qemu-img", "info", "-f", name, "--output=json", path)
	if err := json.Unmarshal([]byte(out), &info); err != nil || info.Size != d.size {
		return fmt.Errorf("qemu-img says %d bytes (%v)", info.Size, err)
	}
	raw := d.raw(t, d.size)
	for _, w := range d.windows() {
		part := fmt.Sprintf("driver=raw,offset=%d,size=%d,file.driver=", w.off, w.n)
		theirs := part + name + ",file.file.filename=" + path
		if name == "raw" {
			theirs = part + "file,file.filename=" + path
		}
		out, err := testtool.Try(t, "qemu-img", "compare", "--image-opts", theirs, part+"file,file.filename="+raw)
		if err != nil || strings.Contains(out, "size mismatch") {
			return fmt.Errorf("qemu-img, %d bytes from %d: %v\n%s", w.n, w.off, err, out)
		}
	}
	return nil
}

// window is a range of a disk.
type window struct{ off, n int64 }

// windows are 4 MiB around all islands, and a place where there is nothing.
func (d *truth) windows() (all []window) {
	const around = 4 << 20
	empty := ondisk.AlignDown(d.size/3, 1<<20)
	places := []window{{empty, around}}
	for _, i := range d.islands {
		off := max(0, ondisk.AlignDown(i.off, 1<<20)-around)
		places = append(places, window{off, min(ondisk.AlignUp(i.end(), 1<<20)+around, d.size) - off})
	}
	slices.SortFunc(places, func(a, b window) int { return int((a.off - b.off) >> 20) })
	for _, w := range places {
		if last := len(all) - 1; last >= 0 && w.off <= all[last].off+all[last].n {
			all[last].n = max(all[last].n, w.off+w.n-all[last].off)
			continue
		}
		all = append(all, w)
	}
	return all
}
