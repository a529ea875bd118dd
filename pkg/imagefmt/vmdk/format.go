package vmdk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Format is VMware's virtual disk, in all its files. It has no state.
type Format struct{}

var (
	_ imagefmt.Format    = Format{}
	_ imagefmt.Describer = Format{}
)

// Name is "vmdk", as for qemu-img.
func (Format) Name() string { return layer }

// Probe knows the magic of every kind of extent, and the line that a descriptor
// begins with after blank lines and comments.
func (Format) Probe(src imagefmt.Source) (ondisk.Match, error) {
	head := make([]byte, probeSize)
	n, err := src.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return ondisk.None, err
	}
	if head = head[:n]; hasMagic(head) || isDescriptor(head) {
		return ondisk.Sure, nil
	}
	return ondisk.None, nil
}

// probeSize is how far the title of a descriptor is looked for.
const probeSize = 2048

// hasMagic reports whether head is that of an extent with tables. The magic of a
// seSparse extent is short, so its version has to be there too.
func hasMagic(head []byte) bool {
	if len(head) < 16 {
		return false
	}
	switch binary.LittleEndian.Uint32(head) {
	case sparseMagic, cowdMagic:
		return true
	}
	return isSESparse(head)
}

func isSESparse(head []byte) bool {
	return len(head) >= 16 && binary.LittleEndian.Uint64(head) == seMagic &&
		binary.LittleEndian.Uint64(head[8:]) == seVersion
}

// isDescriptor looks for the title among the comments and blank lines that a
// text begins with.
func isDescriptor(head []byte) bool {
	const title = "# disk descriptorfile"
	head = bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	for len(head) > 0 {
		line := head[:lineEnd(head, 0)]
		head = head[min(len(line)+1, len(head)):]
		text := strings.ToLower(strings.TrimSpace(string(line)))
		switch {
		case strings.HasPrefix(text, title):
			return true
		case text != "" && text[0] != '#':
			return false
		}
	}
	return false
}

// Describe reports what the first file says, also of a disk whose other files
// are missing or may not be opened. It opens no other file.
func (Format) Describe(_ context.Context, src imagefmt.Source, opts imagefmt.OpenOptions) (imagefmt.Info, error) {
	h, err := readHead(src, opts.Limits.OrDefault())
	if err != nil {
		return imagefmt.Info{}, err
	}
	return h.describe(), nil
}

// Open opens a disk for reading, with all its extents and the parent that it is
// a delta to.
func (Format) Open(ctx context.Context, src imagefmt.Source, opts imagefmt.OpenOptions) (imagefmt.Image, error) {
	img, err := open(ctx, src, opts, readOnly)
	if err != nil {
		return nil, err
	}
	return img, nil
}
