//go:build linux

package vmdk

import (
	"bytes"
	"math/rand"
	"os"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// TestBitFlips turns single bits of headers and tables. Where QEMU and we both
// still read the disk, we read the same.
func TestBitFlips(t *testing.T) {
	const flips = 60 // a disk
	content := make([]byte, 40<<10)
	copy(content[9000:], bytes.Repeat([]byte("guest"), 3000))
	rng := rand.New(rand.NewSource(1))
	for name, seed := range map[string][]byte{
		"sparse": tinySparse(content),
		"stream": handStream(t, content, streamKind{version: 3, short: true, tables: true, footer: true, eos: true}),
	} {
		l := newLab(t)
		agreed := 0
		for range flips {
			bit := rng.Intn(len(seed) * 8)
			if rng.Intn(2) == 0 {
				bit = rng.Intn(80 * 8)
			}
			image := bytes.Clone(seed)
			image[bit/8] ^= 1 << (bit % 8)
			img, err := openMemory(imagefmttest.NewSource("disk.vmdk", image))
			if err != nil {
				continue
			}
			if img.Size() > 64<<20 {
				continue
			}
			ours, err := readAll(img)
			if err != nil {
				continue
			}
			l.write("flip.vmdk", image)
			if _, err := testtool.Try(t, "qemu-img", "convert", "-f", "vmdk", "-O", "raw", l.path("flip.vmdk"), l.path("flip.raw")); err != nil {
				continue
			}
			theirs := l.read("flip.raw")
			os.Remove(l.path("flip.raw"))
			if !bytes.Equal(theirs, ours) {
				t.Errorf("%s, bit %d of byte %#x: qemu-img reads another disk (%d bytes, we %d)", name, bit%8, bit/8, len(theirs), len(ours))
			}
			agreed++
		}
		if agreed < flips/4 {
			t.Errorf("%s: only %d of %d flips could be compared", name, agreed, flips)
		}
	}
}
