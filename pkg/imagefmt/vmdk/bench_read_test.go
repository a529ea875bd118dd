//go:build linux

package vmdk

import (
	"testing"
)

// BenchmarkRead reads a disk of text and noise from the host's cache, 1 MiB at a
// time. Compare with `qemu-img convert -O raw` to /dev/null on the same file.
func BenchmarkRead(b *testing.B) {
	l := newLab(b)
	l.write("in.raw", guestDisk(64<<20, 61))
	for _, subformat := range []string{typeMonolithicSparse, typeStream} {
		b.Run(subformat, func(b *testing.B) {
			l.img("convert -f raw -O vmdk -o subformat=" + subformat + " @in.raw @disk.vmdk")
			img := l.open("disk.vmdk")
			p := make([]byte, 1<<20)
			b.SetBytes(img.Size())
			b.ReportAllocs()
			for b.Loop() {
				for off := int64(0); off < img.Size(); off += int64(len(p)) {
					if _, err := img.ReadAt(p, off); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
