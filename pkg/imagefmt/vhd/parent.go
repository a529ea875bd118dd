package vhd

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"path"
	"strings"
	"unicode/utf16"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// maxPath is the longest path of Windows, 32767 characters, in UTF-16.
const maxPath = 64 << 10

// parentNames are the ways that a differencing image names its parent.
type parentNames struct {
	relative string // as a path from the image's folder; may be empty
	name     string // as a name, with or without the path it once had
}

// best is the name to show.
func (p parentNames) best() string {
	if p.relative != "" {
		return p.relative
	}
	return p.name
}

// candidates are what to try, in order: absolute paths are of another machine,
// and never tried as they are.
func (p parentNames) candidates() []string {
	var out []string
	if p.relative != "" {
		out = append(out, path.Clean(p.relative))
	}
	if base := path.Base(p.name); p.name != "" && base != "/" && (len(out) == 0 || base != out[0]) {
		out = append(out, base)
	}
	return out
}

func readParentNames(src blockdev.Device, h *header) (parentNames, error) {
	names := parentNames{name: slashes(decodeUTF16(h.ParentName[:], binary.BigEndian))}
	for i, l := range h.Locators {
		if string(l.Platform[:]) != platformRelative {
			continue
		}
		at := ondisk.At(layer, "header", h.off).In("parent locator %d", i)
		switch {
		case l.Length > maxPath:
			return names, at.TooBig("a path of %d bytes", l.Length)
		case l.Offset > 1<<63-1 || !ondisk.InRange(int64(l.Offset), int64(l.Length), src.Size()):
			return names, at.Corrupt("%d bytes at %#x end beyond the end of the file (%d bytes)", l.Length, l.Offset, src.Size())
		}
		text := make([]byte, l.Length)
		if err := ondisk.Full(src, text, int64(l.Offset)); err != nil {
			return names, at.Wrap(err)
		}
		names.relative = slashes(decodeUTF16(text, binary.LittleEndian))
		break
	}
	return names, nil
}

// decodeUTF16 is the text up to the first zero.
func decodeUTF16(p []byte, order binary.ByteOrder) string {
	var units []uint16
	for ; len(p) >= 2; p = p[2:] {
		u := order.Uint16(p)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}

func slashes(windows string) string { return strings.ReplaceAll(windows, `\`, "/") }

// openParent opens the image below. Its UUID must be the one that this image
// was made over: another disk of the same name would give a mix of two.
func (img *sparseImage) openParent(ctx context.Context, m *meta, opts imagefmt.OpenOptions) error {
	at := ondisk.At(layer, "parent", ondisk.NoOffset).In("%q", m.parent.best())
	if opts.Backing == nil {
		return at.Blocked("the image needs its parent")
	}
	src, err := findParent(img.src, m.parent)
	if err != nil {
		return at.Wrap(err)
	}
	if err := img.checkParent(at, src, m.header); err != nil {
		src.Close()
		return err
	}
	if img.parent, err = opts.Backing(ctx, src, layer); err != nil {
		src.Close()
		return at.Wrap(err)
	}
	return nil
}

// findParent opens the first candidate that is there and may be opened.
func findParent(src imagefmt.Source, names parentNames) (imagefmt.Source, error) {
	first := ondisk.Because(ondisk.ErrCorrupt, "the image does not name its parent")
	for i, name := range names.candidates() {
		parent, err := src.Sibling(name)
		if err == nil {
			return parent, nil
		}
		if i == 0 {
			first = err
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ondisk.ErrBlocked) {
			break
		}
	}
	return nil, first
}

// checkParent holds a parent against what the header says about it. The header
// has the time when the parent was last changed, of which only one thing can be
// checked: the parent was not made later.
func (img *sparseImage) checkParent(at ondisk.Place, src blockdev.Device, h *header) error {
	ends, err := readFooters(src)
	if err != nil {
		return at.Wrap(err)
	}
	f, err := ends.choose()
	if errors.Is(err, ondisk.ErrFormat) {
		return at.Unsupported("the parent is not a VHD image")
	}
	if err != nil {
		return at.Wrap(err)
	}
	if f.UUID != h.ParentUUID {
		return at.Corrupt("the parent has the UUID %x; the image was made over %x", f.UUID, h.ParentUUID)
	}
	if h.ParentTimestamp != 0 && f.Timestamp > h.ParentTimestamp {
		img.info.Notices = append(img.info.Notices, imagefmt.Notice{
			ID: "vhd-parent-time", Text: "the parent is younger than this image; it may have been replaced or changed since",
		})
	}
	return nil
}
