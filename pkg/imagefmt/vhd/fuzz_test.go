package vhd

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var smallLimits = ondisk.Limits{VirtualSize: 64 << 20, Table: 1 << 20, Cache: 256 << 10}

// fuzzSeeds are images of a few kilobytes: small blocks of either kind, a fixed
// image, and one that differs from the parent in fuzzFolder.
func fuzzSeeds() [][]byte {
	content := pattern(6<<10, 1)
	child := differencing{blockSize: 1024, size: 6 << 10, relative: `.\base.vhd`, name: `C:\base.vhd`}
	child.write(3000, []byte("child"))
	return [][]byte{
		smallDynamic(content, 512),
		smallDynamic(content, 4096),
		append(padded(content[:4000], sectorSize), fixedFooter(4096)...),
		child.bytes(),
	}
}

// FuzzOpen opens, checks, reads and changes images that others have made up;
// their checksums are put right. Nothing may panic, hang or eat memory.
func FuzzOpen(f *testing.F) {
	for _, s := range fuzzSeeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 1<<18 {
			return
		}
		begin := time.Now()
		reseal(content)
		folder := imagefmttest.NewFolder()
		folder.Put("base.vhd", append(make([]byte, 8192), fixedFooter(8192)...))
		src := folder.Put("fuzz", content)
		opts := imagefmt.OpenOptions{Limits: smallLimits}
		ctx := context.Background()
		_, _ = imagefmt.Describe(ctx, Format{}, src, opts)
		_, _ = Format{}.Check(ctx, src, opts, nil)
		if img, err := registry.Open(ctx, src, "vhd", opts); err == nil {
			fuzzRead(t, img)
		}
		if img, err := registry.OpenUpdate(ctx, src, "vhd", opts); err == nil {
			fuzzWrite(t, img)
		}
		if d := time.Since(begin); d > 5*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

// reseal gives whatever stands in the place of a footer or header its checksum.
func reseal(p []byte) {
	n := len(p)
	if n < footerSize {
		return
	}
	seal(p[:footerSize], offFooterChecksum)
	if at := binary.BigEndian.Uint64(p[16:]); at >= footerSize && at <= uint64(n-min(n, headerSize)) {
		seal(p[at:][:min(headerSize, n-int(at))], offHeaderChecksum)
	}
	seal(p[n-footerSize:], offFooterChecksum)
	if string(p[n-shortFooterSize:][:len(footerCookie)]) == footerCookie {
		seal(p[n-shortFooterSize:], offFooterChecksum)
	}
}

func fuzzRead(t *testing.T, img imagefmt.Image) {
	left, buf := int64(4<<20), make([]byte, 1<<20)
	for e, err := range blockdev.Extents(context.Background(), img, 0, img.Size()) {
		if err != nil || left <= 0 {
			return
		}
		n := min(e.Len, int64(len(buf)))
		got, err := img.ReadAt(buf[:n], e.Off)
		if err == nil && int64(got) < n {
			t.Errorf("short read of %d+%d without an error", e.Off, n)
		}
		if err == nil && e.Kind == blockdev.Zero && !ondisk.IsZero(buf[:n]) {
			t.Errorf("extent %d+%d is no zeros", e.Off, n)
		}
		left -= n + 4096
	}
}

// fuzzWrite writes here and there: what Update accepts must keep what it was given.
func fuzzWrite(t *testing.T, img imagefmt.WritableImage) {
	for i := range int64(8) {
		off := i*img.Size()/8 + i
		if off >= img.Size() {
			return
		}
		if _, err := img.WriteAt([]byte{byte(i + 1)}, off); err != nil {
			return
		}
	}
	var got [1]byte
	for i := range int64(8) {
		if _, err := img.ReadAt(got[:], i*img.Size()/8+i); err == nil && img.Size() > 64 && got[0] != byte(i+1) {
			t.Errorf("byte %d of 8 is lost", i)
		}
	}
	if err := img.Flush(context.Background()); err != nil {
		t.Error(err)
	}
}
