package qcow2

import (
	"context"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
)

const benchSize = 64 << 20

func benchImage(b *testing.B, options string) imagefmt.Image {
	b.Helper()
	sink := imagefmttest.NewSink("out")
	writeImage(b, sink, pattern(benchSize, 1), options, 2)
	img, err := Format{}.Open(context.Background(), sink.File(), imagefmt.OpenOptions{})
	if err != nil {
		b.Fatal(err)
	}
	return img
}

// BenchmarkRead reads 2 MiB at a time, on all cores.
func BenchmarkRead(b *testing.B) {
	for _, o := range []string{"cluster_size=64k", "-c", "-c compression_type=zstd"} {
		b.Run(o, func(b *testing.B) {
			img := benchImage(b, o)
			b.SetBytes(2 << 20)
			b.RunParallel(func(pb *testing.PB) {
				p := make([]byte, 2<<20)
				for off := int64(0); pb.Next(); off = (off + 2<<20) % benchSize {
					if _, err := img.ReadAt(p, off); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// BenchmarkLookup reads 512 bytes at a time, so that finding them dominates.
func BenchmarkLookup(b *testing.B) {
	for _, o := range []string{"cluster_size=64k", "cluster_size=512", "extended_l2=on"} {
		b.Run(o, func(b *testing.B) {
			img := benchImage(b, o)
			b.RunParallel(func(pb *testing.PB) {
				p := make([]byte, 512)
				for off := int64(0); pb.Next(); off = (off + 7919*512) % benchSize {
					if _, err := img.ReadAt(p, off); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// BenchmarkExtents walks all extents of a disk.
func BenchmarkExtents(b *testing.B) {
	for _, o := range []string{"cluster_size=64k", "cluster_size=512", "-c"} {
		b.Run(o, func(b *testing.B) {
			img := benchImage(b, o)
			for range b.N {
				for _, err := range blockdev.Extents(context.Background(), img, 0, img.Size()) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkEncode compresses clusters on all cores.
func BenchmarkEncode(b *testing.B) {
	for _, o := range []string{"-c", "-c compression_type=zstd"} {
		b.Run(o, func(b *testing.B) {
			content := pattern(benchSize, 1)
			w, err := Format{}.Create(context.Background(), imagefmttest.NewSink("out"), benchSize, createOptions(o))
			if err != nil {
				b.Fatal(err)
			}
			bw := w.(imagefmt.BlockWriter)
			n := bw.BlockSize()
			b.SetBytes(int64(n))
			b.RunParallel(func(pb *testing.PB) {
				var dst []byte
				for off := 0; pb.Next(); off = (off + n) % benchSize {
					blk, err := bw.Encode(dst, int64(off), content[off:off+n])
					if err != nil {
						b.Error(err)
					}
					dst = blk.Data
				}
			})
		})
	}
}
