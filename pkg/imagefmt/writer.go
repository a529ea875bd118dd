package imagefmt

import (
	"context"
	"errors"
	"io"
	"time"
)

// Sink is a file that an image is written to. One goroutine uses it at a time,
// except for WriteAt, which may be called by several for ranges that do not
// overlap.
type Sink interface {
	io.WriterAt
	// Name is the path that the file will have, as the user gave it.
	Name() string
	// Truncate sets the size in bytes; a sink that is not seekable refuses.
	Truncate(size int64) error
	Sync() error
	// Seekable is false for a pipe: WriteAt must then ascend without gaps.
	Seekable() bool
	// Zeroed reports that what is not written reads as zeros; false for a block
	// device that may hold old data.
	Zeroed() bool
	// Sibling makes a further file of the same output, for split formats.
	Sibling(name string) (Sink, error)
}

// Allocator is a Sink that can reserve room on its host. Callers use [Allocate].
type Allocator interface {
	// Allocate reserves room for n bytes from off, which read as zeros
	// afterwards if nothing was there.
	Allocate(off, n int64) error
}

// Allocate reserves n bytes from off in a fresh part of a sink, so that later
// writes cannot fail for want of room. Where the sink cannot reserve, or full
// is set, zeros are written.
func Allocate(s Sink, off, n int64, full bool) error {
	if a, ok := s.(Allocator); ok && !full {
		if err := a.Allocate(off, n); !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	return WriteZeros(s, off, n)
}

// Creator is a format that can be written.
type Creator interface {
	Format
	// Create starts an image of size bytes. It refuses a sink that it cannot
	// use (a pipe, for formats that must go back) before it writes.
	Create(ctx context.Context, sink Sink, size int64, opts CreateOptions) (Writer, error)
	// Options lists what Create understands in CreateOptions.Values, for --help
	// and for refusing anything else.
	Options() []Option
	// Extension is the usual end of a file name, without the dot.
	Extension() string
}

// CreateOptions are checked by Create, which reports all problems at once.
type CreateOptions struct {
	Values   map[string]string // --opt K=V, named as in qemu-img where it has them
	Compress bool
	Codec    string           // of compressed blocks: "zlib", "zstd"; empty is the format's usual one
	Level    int              // of compression, from 1 fast to 9 small; 0 is the codec's usual one
	Now      func() time.Time // for formats that store a time; nil means the format's epoch
	Rand     io.Reader        // for formats that store an identity; nil means zeros. It may be deterministic
}

// Option documents one key of [CreateOptions.Values].
type Option struct {
	Key, Default, Help string
	Choices            []string
}

// Writer receives the content of an image: ascending and without overlaps, from
// one goroutine. A gap means "nothing here": zeros, or the backing file. Exactly
// one of Finish and Abort ends it; both may be called again without effect.
type Writer interface {
	WriteAt(p []byte, off int64) (int, error)
	// Zero says that n bytes from off are zeros, over whatever lies below.
	Zero(off, n int64) error
	// Finish writes what is still missing and syncs. Without it there is no image.
	Finish(ctx context.Context) error
	Abort() error
}

// Blocks is implemented by writers whose image consists of blocks, which are best
// written whole, and over a backing file have to be.
type Blocks interface {
	BlockSize() int // bytes
}

// BlockSize is the unit of w in bytes, and 1 when it has none.
func BlockSize(w Writer) int {
	if b, ok := w.(Blocks); ok {
		return b.BlockSize()
	}
	return 1
}

// BlockWriter is a writer whose blocks can be encoded on all cores: Encode is
// pure and safe for concurrent use, Append takes the blocks in ascending order
// from one goroutine. Host offsets are given by Append alone, so the output
// does not depend on the number of cores.
type BlockWriter interface {
	Writer
	Blocks // the last block of an image may be shorter
	// Encode packs the plain bytes of the block at guest offset off. The block
	// may use dst's memory; a block of zeros is marked as such.
	Encode(dst []byte, off int64, plain []byte) (Block, error)
	Append(b Block) error
}

// Block is an encoded block on its way to Append.
type Block struct {
	Off    int64  // guest offset in bytes
	Len    int    // plain bytes it stands for
	Data   []byte // as it will be stored
	Packed bool   // Data is compressed
	Zero   bool   // all zeros; Data is empty
}
