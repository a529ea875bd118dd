package qcow2

import (
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// preallocation says what is done for the clusters of a new image that hold no
// data. The words are qemu-img's.
type preallocation string

const (
	aheadOff      preallocation = "off"      // nothing
	aheadMetadata preallocation = "metadata" // they have their place, which is a hole of the file
	aheadFalloc   preallocation = "falloc"   // room is reserved for them on the host
	aheadFull     preallocation = "full"     // zeros are written
)

// reserveUpTo preallocates the clusters before guest offset end, a cluster's
// begin or the end of the disk, that have no place yet.
func (w *writer) reserveUpTo(end int64) error {
	if w.ahead == aheadOff {
		return nil
	}
	end = ondisk.AlignUp(end, w.clusterSize())
	for w.ends < end {
		if err := w.stop(); err != nil {
			return err
		}
		off := w.ends
		n := min(end-off, w.tableSpan()-off%w.tableSpan())
		host, err := w.mapPlain(off, n)
		if err != nil {
			return err
		}
		// Old bytes of a device must not show, whatever was asked for.
		if w.ahead == aheadMetadata && w.sink.Zeroed() {
			continue
		}
		full := w.ahead == aheadFull || !w.sink.Zeroed()
		if err := imagefmt.Allocate(w.sink, host, n, full); err != nil {
			return err
		}
	}
	return nil
}
