package imagefmt

import "context"

// RawWrapper is implemented by formats that have a variant which is a raw disk
// with something behind it. Going from one to the other moves no data.
type RawWrapper interface {
	Format
	// WrapRaw makes an image of the raw disk that file is, by what it adds to its
	// end. A size that the format does not have is rounded up with zeros.
	WrapRaw(ctx context.Context, file File, opts CreateOptions) error
	// UnwrapRaw makes a raw disk of such an image; one that stores its disk in
	// another way is refused with ondisk.ErrUnsupported.
	UnwrapRaw(ctx context.Context, file File, opts OpenOptions) error
}

// RawDescriber is implemented by formats that have a variant whose data is a raw
// disk in a file of its own.
type RawDescriber interface {
	Format
	// DescribeRaw writes to sink an image whose data is the raw disk of size bytes
	// in the file raw, a name in sink's folder.
	DescribeRaw(ctx context.Context, sink Sink, raw string, size int64, opts CreateOptions) error
}
