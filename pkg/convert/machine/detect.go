package machine

import (
	"context"
	"path"
	"strings"

	"github.com/vmconv/vmconv/pkg/convert/vmdef"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/tarfile"
)

const (
	headSize    = 64 << 10 // bytes that a description is recognised by
	tarMagicOff = 257      // of "ustar" (POSIX.1, pax interchange format, ustar)
)

// Detect tells what a source is by its beginning. Whatever is nothing else is a
// disk image.
func Detect(ctx context.Context, src imagefmt.Source) (Kind, error) {
	head := make([]byte, min(headSize, src.Size()))
	if len(head) == 0 {
		return Image, nil
	}
	if err := ondisk.Full(src, head, 0); err != nil {
		return Image, err
	}
	if len(head) > tarMagicOff+5 && string(head[tarMagicOff:tarMagicOff+5]) == "ustar" {
		return detectArchive(ctx, src)
	}
	if k := vmdef.Detect(head); k != vmdef.KindUnknown {
		return Kind(k), nil
	}
	return Image, nil
}

// detectArchive goes by the first member, and for packages whose descriptor is
// not the first by the next ones.
func detectArchive(ctx context.Context, src imagefmt.Source) (Kind, error) {
	const look = 8
	n := 0
	for m, err := range tarfile.Walk(ctx, src, ondisk.Limits{}) {
		switch {
		case err != nil:
			return Image, err
		case n == 0 && m.Name == "ova.xml":
			return XVA, nil
		case strings.EqualFold(path.Ext(m.Name), ".ovf"):
			return OVA, nil
		}
		if n++; n == look {
			break
		}
	}
	return Image, nil
}
