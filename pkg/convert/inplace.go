package convert

import (
	"context"
	"fmt"
	"io"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// ApplyInPlace carries what was written to an overlay into the image that lies
// below it, and brings the image's own tables up to date. The image's file is a
// view of a transaction: nothing is changed on the host before that commits.
// What the overlay discarded stays as it is.
func ApplyInPlace(ctx context.Context, img imagefmt.WritableImage, o *blockdev.Overlay, watch ondisk.Observer) error {
	buf := make([]byte, chunkSize)
	var done int64
	for e, err := range o.Changed(ctx) {
		if err != nil {
			return err
		}
		for off := e.Off; off < e.End(); {
			p := buf[:min(chunkSize, e.End()-off)]
			if n, err := o.ReadAt(p, off); n < len(p) {
				if err == nil || err == io.EOF {
					err = io.ErrUnexpectedEOF
				}
				return fmt.Errorf("reading the change at %#x: %w", off, err)
			}
			if _, err := img.WriteAt(p, off); err != nil {
				return err
			}
			off += int64(len(p))
			done += int64(len(p))
			watch.Tell(ondisk.Event{Phase: "applying", Done: done})
		}
	}
	return img.Flush(ctx)
}
