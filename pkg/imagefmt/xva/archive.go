package xva

import (
	"context"
	"fmt"
	"io"
	"math"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/tarfile"
)

// Archive is an export with its machine and where the chunks of its disks are.
// It does not change, and is safe for concurrent use.
type Archive struct {
	Description Description

	src    imagefmt.Source
	limits ondisk.Limits
	runs   int                    // of all disks
	disks  map[string]*chunkTable // snapshots' too
}

// Index reads ova.xml and the headers of all chunks. The archive owns src from
// then on, and closes it; on an error the caller keeps it. An archive that holds
// no export is ondisk.ErrFormat.
func Index(ctx context.Context, src imagefmt.Source, limits ondisk.Limits) (*Archive, error) {
	a := &Archive{src: src, limits: limits.OrDefault()}
	headers := a.limits
	headers.Entries = math.MaxInt // what is kept of a member is limited below
	for m, err := range tarfile.Walk(ctx, src, headers) {
		if err == nil {
			err = a.add(m)
		}
		if err != nil {
			return nil, err
		}
	}
	if a.disks == nil {
		return nil, ondisk.At(layer, "archive", 0).Format("no export of XenServer: it is empty")
	}
	for _, t := range a.disks {
		t.settle()
	}
	return a, nil
}

// add takes the next member.
func (a *Archive) add(m tarfile.Member) error {
	place := ondisk.At(layer, fmt.Sprintf("member %q", m.Name), m.Off)
	if a.disks == nil {
		if m.Name != descriptionName {
			return place.Format("no export of XenServer: it does not begin with %s", descriptionName)
		}
		return a.describe(m)
	}
	if m.Name == descriptionName {
		return place.Wrap(ondisk.Because(ondisk.ErrAmbiguous, "a second description"))
	}
	name, ok := parseName(m.Name)
	if !ok || a.disks[name.ref] == nil {
		return nil
	}
	t := a.disks[name.ref]
	runs := len(t.runs)
	if err := t.add(name, m); err != nil {
		return err
	}
	a.runs += len(t.runs) - runs
	if int64(a.runs)*runBytes > a.limits.Table {
		return place.TooBig("the disks lie in more than %d pieces", a.limits.Table/runBytes)
	}
	return nil
}

func (a *Archive) describe(m tarfile.Member) error {
	place := ondisk.At(layer, descriptionName, m.Off)
	if m.Size > a.limits.Text {
		return place.TooBig("%d bytes, over the limit of %d", m.Size, a.limits.Text)
	}
	doc, err := ondisk.Bytes(a.src, m.Off, m.Size)
	if err != nil {
		return place.Wrap(err)
	}
	d, sizes, err := parseDescription(doc, m.Off)
	if err != nil {
		return err
	}
	a.Description, a.disks = d, make(map[string]*chunkTable, len(sizes))
	for ref, size := range sizes {
		a.disks[ref] = &chunkTable{ref: ref, size: size, last: -1}
	}
	return nil
}

// Disk opens a disk of the machine by its reference. The image lives as long as
// the archive; closing it leaves the archive open.
func (a *Archive) Disk(_ context.Context, ref string) (imagefmt.Image, error) {
	return a.disk(ref, nil)
}

func (a *Archive) disk(ref string, owned io.Closer) (*image, error) {
	t := a.disks[ref]
	place := ondisk.At(layer, "disk "+ref, ondisk.NoOffset)
	switch {
	case t == nil:
		return nil, place.Unsupported("the archive describes no such disk")
	case t.size > a.limits.VirtualSize:
		return nil, place.TooBig("%d bytes, over the limit of %d", t.size, a.limits.VirtualSize)
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	return &image{src: a.src, table: t, owned: owned}, nil
}

// Close closes the archive's file; its disks cannot be read any more.
func (a *Archive) Close() error { return a.src.Close() }
