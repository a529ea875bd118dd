package machine

import (
	"context"
	"errors"
	"path"
	"strings"

	"github.com/vmconv/vmconv/pkg/convert/vmdef"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/tarfile"
)

const (
	headSize    = 64 << 10 // bytes that a description is recognised by
	lookMembers = 1000     // of an archive that may be an OVA
)

// Detect tells what a source is by its beginning. Whatever is nothing else is a
// disk image. An archive that holds no machine is refused, rather than taken for
// a raw disk; so is a description of a kind that has no reader.
func Detect(ctx context.Context, src imagefmt.Source, limits ondisk.Limits) (Kind, error) {
	head := make([]byte, min(headSize, src.Size()))
	if err := ondisk.Full(src, head, 0); err != nil {
		return Image, err
	}
	// A file that is too long for a description is a disk, whose guest may have
	// written one at its beginning.
	if src.Size() <= limits.OrDefault().Text {
		if k := vmdef.Detect(head); k != vmdef.KindUnknown {
			return Kind(k), nil
		}
	}
	return detectArchive(ctx, src, limits)
}

// detectArchive goes by the names of members. It asks the archive's reader and
// not for the magic of POSIX, which archives of V7 have not.
func detectArchive(ctx context.Context, src imagefmt.Source, limits ondisk.Limits) (Kind, error) {
	n := 0
	for m, err := range tarfile.Walk(ctx, src, limits) {
		switch {
		case errors.Is(err, ondisk.ErrFormat):
			return Image, nil
		case err != nil:
			return Image, err
		case n == 0 && m.Name == "ova.xml":
			return XVA, nil
		case isExtension(m.Name, ".ovf"):
			return OVA, nil
		}
		if n++; n == lookMembers {
			break
		}
	}
	return Image, ondisk.At("tar", "archive", ondisk.NoOffset).Unsupported(
		"it holds no machine: there is no .ovf in it, and no ova.xml; unpack it, or take it for a disk with -f raw")
}

func isExtension(name, ext string) bool { return strings.EqualFold(path.Ext(name), ext) }
