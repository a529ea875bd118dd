package convert

import (
	"context"
	"fmt"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// CopyChanges writes to w, an image over src's own as its backing file, what was
// changed on the overlay, in whole blocks of w. What the overlay discarded stays
// below. The image is as large as the edits, whatever the disk's size.
func CopyChanges(ctx context.Context, w imagefmt.Writer, src *blockdev.Overlay, watch ondisk.Observer) error {
	bs, buf := int64(imagefmt.BlockSize(w)), make([]byte, chunkSize)
	var done int64 // end of what was written
	for e, err := range src.Changed(ctx) {
		if err != nil {
			return err
		}
		end := min(ondisk.AlignUp(e.End(), bs), src.Size())
		for off := max(ondisk.AlignDown(e.Off, bs), done); off < end; {
			p := buf[:min(int64(len(buf)), end-off)]
			if err := readPadded(src, p, off); err != nil {
				return err
			}
			if _, err := w.WriteAt(p, off); err != nil {
				return err
			}
			off += int64(len(p))
			done = off
			watch.Tell(ondisk.Event{Phase: "writing", Done: done})
		}
	}
	return nil
}

// backingFormats are those that QEMU reads below an overlay, under its names for
// them. Its readers of VHD and of some VMDKs see another size or skip extents,
// so those are not trusted with somebody's disk.
var backingFormats = map[string]string{"raw": "raw", "qcow2": "qcow2", "vhdx": "vhdx", "vdi": "vdi", "vmdk": "vmdk"}

// backingVariants are the kinds of VMDK that QEMU reads as we do.
var backingVariants = []string{"monolithicSparse", "monolithicFlat", "streamOptimized", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "vmfs"}

// BackingFormat is QEMU's name for the format of an image that becomes a backing
// file, or ondisk.ErrUnsupported.
func BackingFormat(info imagefmt.Info) (string, error) {
	name, ok := backingFormats[info.Format]
	if !ok || info.Format == "vmdk" && !slices.Contains(backingVariants, info.Variant) {
		return "", ondisk.Because(ondisk.ErrUnsupported, "QEMU cannot be trusted to read %s as a backing file: convert without --overlay",
			fmt.Sprintf("%s %s", info.Format, info.Variant))
	}
	return name, nil
}
