package machine

import (
	"errors"
	"io/fs"
	"net/url"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// maxFiles is how many files the disks of a machine may consist of.
const maxFiles = 4096

// sibling opens a file that the description names. An OVF names it by a URI
// reference (DSP0243, "References"), which some producers write with escapes and
// others as the plain name.
func (m *Machine) sibling(name string) (imagefmt.Source, error) {
	if m.files++; m.files > maxFiles {
		return nil, ondisk.Because(ondisk.ErrTooBig, "the machine consists of more than %d files", maxFiles)
	}
	src, err := m.descriptor.Sibling(name)
	if m.isOVF() && errors.Is(err, fs.ErrNotExist) {
		if plain, e := url.PathUnescape(name); e == nil && plain != name {
			if src, e = m.descriptor.Sibling(plain); !errors.Is(e, fs.ErrNotExist) {
				err = e
			}
		}
	}
	switch {
	case m.Kind == OVA && errors.Is(err, fs.ErrNotExist):
		return nil, ondisk.At("ova", "archive", ondisk.NoOffset).Corrupt("it holds no member of this name")
	case err != nil:
		return nil, err
	case src.Identity() == m.descriptor.Identity():
		src.Close()
		return nil, ondisk.Because(ondisk.ErrCorrupt, "the description names itself as a disk")
	}
	return src, nil
}

func (m *Machine) isOVF() bool { return m.Kind == OVF || m.Kind == OVA }
