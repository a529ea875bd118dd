package qcow2

import (
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

var _ imagefmt.Cloner = (*writer)(nil)

// CanClone: plain clusters begin at multiples of their size, which file systems
// can share when it is at least one of their blocks.
func (w *writer) CanClone(from blockdev.HostPos) bool {
	return !w.compress && w.clusterSize() >= imagefmt.CloneUnit && imagefmt.CanClone(w.sink, from)
}

// CloneAt maps whole clusters, and lets the file share what they hold.
func (w *writer) CloneAt(from blockdev.HostPos, off, n int64) error {
	if size := w.clusterSize(); off%size != 0 || n%size != 0 {
		return fmt.Errorf("qcow2: %d+%d bytes to share are no whole clusters", off, n)
	}
	if err := w.ascent.Admit(off, n); err != nil {
		return err
	}
	err := w.endPart()
	for end := off + n; err == nil && off < end; {
		step := min(end-off, w.tableSpan()-off%w.tableSpan())
		err = w.share(from, off, step)
		from.Off += step
		off += step
	}
	return w.ascent.Keep(err)
}

// share is plain for clusters that lie in another file.
func (w *writer) share(from blockdev.HostPos, off, n int64) error {
	if err := w.reserveUpTo(off); err != nil {
		return err
	}
	host, err := w.mapPlain(off, n)
	if err != nil {
		return err
	}
	return w.sink.(imagefmt.CloneSink).CloneAt(from, host, n)
}
