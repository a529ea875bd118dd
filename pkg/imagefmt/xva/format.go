package xva

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/tarfile"
)

// Format is the export of one virtual machine. It has no state.
type Format struct{}

var _ imagefmt.Creator = Format{}

// Name is "xva".
func (Format) Name() string { return layer }

// Extension is "xva".
func (Format) Extension() string { return layer }

// Probe looks whether the first member of an archive is ova.xml and begins as a
// struct of XML-RPC.
func (Format) Probe(src imagefmt.Source) (ondisk.Match, error) {
	first, err := firstMember(src)
	switch {
	case errors.Is(err, ondisk.ErrFormat), errors.Is(err, ondisk.ErrCorrupt), errors.Is(err, ondisk.ErrUnsupported), errors.Is(err, ondisk.ErrTooBig):
		return ondisk.None, nil
	case err != nil:
		return ondisk.None, err
	case first.Name != descriptionName:
		return ondisk.None, nil
	}
	const head = 4096
	doc, err := ondisk.Bytes(src, first.Off, min(first.Size, head))
	if err != nil || !beginsStruct(doc) {
		return ondisk.None, err
	}
	return ondisk.Sure, nil
}

// firstMember is the first regular member, and an empty one where there is none
// near the start.
func firstMember(src imagefmt.Source) (tarfile.Member, error) {
	for m, err := range tarfile.Walk(context.Background(), src, ondisk.Limits{Entries: 4}) {
		return m, err
	}
	return tarfile.Member{}, nil
}

// beginsStruct reports whether a document, of which this is the head, begins
// with <value><struct>.
func beginsStruct(head []byte) bool {
	d := xml.NewDecoder(strings.NewReader(string(head)))
	for _, want := range []string{"value", "struct"} {
		for {
			t, err := d.Token()
			if err != nil {
				return false
			}
			if s, ok := t.(xml.StartElement); ok {
				if s.Name.Local != want {
					return false
				}
				break
			}
		}
	}
	return true
}

// Open opens the only disk of the archive. Several are ondisk.ErrAmbiguous: then
// [Index] lists them and [Archive.Disk] opens one.
func (Format) Open(ctx context.Context, src imagefmt.Source, opts imagefmt.OpenOptions) (imagefmt.Image, error) {
	a, err := Index(ctx, src, opts.Limits)
	if err != nil {
		return nil, err
	}
	disks := a.Description.Disks
	place := ondisk.At(layer, "machine", ondisk.NoOffset)
	switch len(disks) {
	case 0:
		return nil, place.Unsupported("it has no disk")
	case 1:
		img, err := a.disk(disks[0].Ref, src)
		if err != nil {
			return nil, err
		}
		return img, nil
	}
	labels := make([]string, len(disks))
	for i, d := range disks {
		labels[i] = d.label()
	}
	return nil, place.Wrap(ondisk.Because(ondisk.ErrAmbiguous, "it has %d disks: %s", len(disks), strings.Join(labels, ", ")))
}

var _ io.Closer = (*Archive)(nil)
