//go:build linux

package vmdk

import (
	"context"
	"fmt"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
)

// BenchmarkStream packs grains on all cores, at each level.
func BenchmarkStream(b *testing.B) {
	disk := mixed(64 << 20)
	for level := 1; level <= 7; level++ {
		b.Run(fmt.Sprintf("level %d", level), func(b *testing.B) {
			w, err := Format{}.Create(context.Background(), imagefmttest.NewSink("out"), int64(len(disk)), imagefmt.CreateOptions{Compress: true, Level: level})
			if err != nil {
				b.Fatal(err)
			}
			bw := w.(imagefmt.BlockWriter)
			b.SetBytes(grainBytes)
			b.RunParallel(func(pb *testing.PB) {
				dst := make([]byte, 0, grainBytes+1024)
				for off := 0; pb.Next(); off = (off + grainBytes) % len(disk) {
					if _, err := bw.Encode(dst, int64(off), disk[off:off+grainBytes]); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
