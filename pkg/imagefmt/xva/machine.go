package xva

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/tarfile"
)

// WriterOptions of a MachineWriter. The zero value is good.
type WriterOptions struct {
	Now func() time.Time // the export's date, asked once; nil is the epoch
}

// MachineWriter writes a machine: its disks one after the other, in the order of
// the description. It is used by one goroutine. Any sink will do, a pipe too.
type MachineWriter struct {
	tar   *tarfile.Writer
	disks []Disk
	next  int         // the disk that comes now
	open  *diskWriter // or nil
	ended error       // why nothing can be written any more, or nil
	done  bool
}

// NewWriter starts an export with the description of the machine. The sizes of
// the disks are rounded up to 512 bytes; their references are given out here.
func NewWriter(ctx context.Context, sink imagefmt.Sink, d Description, opts WriterOptions) (*MachineWriter, error) {
	var problems []error
	for i, disk := range d.Disks {
		if disk.Size < 0 || ondisk.DivUp(disk.Size, chunkSize) > maxChunk+1 {
			problems = append(problems, ondisk.At(layer, "disk", ondisk.NoOffset).In("%d", i).Unsupported(
				"%d bytes; 0 to %d MiB are possible", disk.Size, maxChunk+1))
		}
	}
	if err := errors.Join(append(problems, ctx.Err())...); err != nil {
		return nil, err
	}
	date := time.Unix(0, 0)
	if opts.Now != nil {
		date = opts.Now()
	}
	doc := newDocument(d, date)
	for i := range doc.Disks {
		doc.Disks[i].Size = ondisk.AlignUp(doc.Disks[i].Size, sectorSize)
	}
	w := &MachineWriter{disks: doc.Disks}
	w.tar = tarfile.NewWriter(sink, tarfile.Options{Now: func() time.Time { return date }})
	return w, w.tar.WriteFile(descriptionName, doc.bytes())
}

// Disk starts the next disk. The one before has to be finished. Its Finish does
// not sync: that is the machine's.
func (w *MachineWriter) Disk() (imagefmt.Writer, error) {
	d, err := w.disk()
	if err != nil {
		return nil, err
	}
	return d, nil
}

func (w *MachineWriter) disk() (*diskWriter, error) {
	switch {
	case w.ended != nil:
		return nil, w.ended
	case w.open != nil:
		return nil, fmt.Errorf("xva: disk %s is not finished", w.open.ref)
	case w.next == len(w.disks):
		return nil, fmt.Errorf("xva: the machine has %d disks, and all are written", w.next)
	}
	d := w.disks[w.next]
	w.open = &diskWriter{ascent: imagefmt.Ascent{Name: layer, Size: d.Size}, machine: w, ref: d.Ref, last: -1,
		// A host takes the length of the first chunk for that of every gap.
		dense: w.next > 0 && w.disks[0].Size < chunkSize}
	w.next++
	return w.open, nil
}

var (
	errFinished = errors.New("xva: the export is finished")
	errAborted  = errors.New("xva: the export was given up")
)

// Finish ends the export, when all disks are written, and syncs it.
func (w *MachineWriter) Finish(ctx context.Context) error {
	switch {
	case w.done:
		return nil
	case w.ended != nil:
		return w.ended
	case w.open != nil || w.next < len(w.disks):
		return fmt.Errorf("xva: %d of %d disks are written", w.written(), len(w.disks))
	}
	if err := w.tar.Finish(ctx); err != nil {
		return err
	}
	w.done, w.ended = true, errFinished
	return nil
}

func (w *MachineWriter) written() int {
	if w.open != nil {
		return w.next - 1
	}
	return w.next
}

// Abort gives the export up. The sink's owner removes what was written.
func (w *MachineWriter) Abort() error {
	if w.ended == nil {
		w.ended = errAborted
	}
	return w.tar.Abort()
}
