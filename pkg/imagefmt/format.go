package imagefmt

import (
	"context"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Source is a file that an image is read from. It is safe for concurrent use.
type Source interface {
	blockdev.Device
	// Name is for messages: the path as the user gave it.
	Name() string
	// Identity is equal for two sources that are the same file, so that chains
	// can be checked for loops.
	Identity() string
	// Sibling opens a file that this one names: a backing file, an extent, a
	// parent. It is the only way to another file. The implementation refuses
	// what leaves the source's folder, with ondisk.ErrBlocked.
	Sibling(name string) (Source, error)
	Close() error
}

// Format is one image format. It is a stateless value.
type Format interface {
	// Name is the word for -f and -O, as qemu-img's users know it.
	Name() string
	// Probe reads as little as it needs, at either end. Bytes that are not of
	// this format are None and no error; an error means that src cannot be read.
	Probe(src Source) (ondisk.Match, error)
	// Open checks the whole of the image's headers before it returns. The image
	// owns src from then on, and closes it; on an error the caller keeps it.
	Open(ctx context.Context, src Source, opts OpenOptions) (Image, error)
}

// OpenOptions are the same for every format. The zero value is good.
type OpenOptions struct {
	Limits ondisk.Limits
	// Backing opens another image of a chain in the format that the referring
	// header names; formats do not know each other. nil refuses backing files.
	Backing func(ctx context.Context, src Source, format string) (Image, error)
}

// Image is an open disk image: the guest's view of the disk. Reading is safe
// for concurrent use.
type Image interface {
	blockdev.Device
	blockdev.Extenter
	Info() Info
	Close() error
}

// Info describes an image. It is plain data, the same for every format.
type Info struct {
	Format      string     `json:"format"`
	Variant     string     `json:"variant,omitempty"` // "v3", "streamOptimized"
	VirtualSize int64      `json:"virtual_size"`      // bytes
	ClusterSize int64      `json:"cluster_size,omitempty"`
	Compression string     `json:"compression,omitempty"` // codec that clusters may use
	Features    []string   `json:"features,omitempty"`
	Backing     *Reference `json:"backing,omitempty"`
	DataFile    *Reference `json:"data_file,omitempty"`
	Snapshots   []string   `json:"snapshots,omitempty"` // internal ones; not converted
	Bitmaps     []string   `json:"bitmaps,omitempty"`   // persistent ones; not converted
	Encrypted   bool       `json:"encrypted,omitempty"`
	Dirty       bool       `json:"dirty,omitempty"`
	Notices     []Notice   `json:"notices,omitempty"`
}

// Reference is another file that an image names.
type Reference struct {
	Name   string `json:"name"`
	Format string `json:"format,omitempty"`
}

// Notice is something that the user should know, with an id that stays stable.
type Notice struct {
	ID   string `json:"id"`   // "qcow2-snapshots"
	Text string `json:"text"` // one sentence
}

// Describer is implemented by formats that can describe an image whose data
// they may not or cannot open: encrypted, or with a backing file that is
// missing. It opens no other file.
type Describer interface {
	Describe(ctx context.Context, src Source, opts OpenOptions) (Info, error)
}

// Describe is what `info` prints. A format without [Describer] is opened, and no
// other file with it.
func Describe(ctx context.Context, f Format, src Source, opts OpenOptions) (Info, error) {
	if d, ok := f.(Describer); ok {
		return d.Describe(ctx, src, opts)
	}
	img, err := f.Open(ctx, lent{src}, opts)
	if err != nil {
		return Info{}, err
	}
	defer img.Close()
	return img.Info(), nil
}

// lent is a source for an image that would close it, and has no siblings.
type lent struct{ Source }

func (lent) Close() error { return nil }

func (l lent) Sibling(name string) (Source, error) {
	return nil, ondisk.Because(ondisk.ErrBlocked, "%s names %q, and other files may not be opened", l.Name(), name)
}
