package imagefmt

// Codec names how the bytes of a packed block are compressed.
type Codec string

const (
	Deflate Codec = "deflate" // RFC 1951, without a header or a checksum
	Zstd    Codec = "zstd"    // one frame of RFC 8878
)

// PackedBlock is one block of an image as it is stored.
//
// Data begins with the stream. After the end of a Deflate stream there may be
// bytes that belong to nobody: some formats store the length in sectors, and a
// stream says itself where it ends, so that a format of that kind can take Data
// as it is. Who needs the exact end, to put a checksum behind it, finds it by
// inflating, which the checksum of the plain bytes needs anyway. A Zstd frame
// ends where Data ends.
//
// The stream of a disk's last block may give more than Len bytes, up to a block.
type PackedBlock struct {
	Off   int64 // guest offset in bytes
	Len   int   // bytes of the disk it stands for
	Codec Codec
	Data  []byte
}

// PackedReader is implemented by images that store compressed blocks. A block
// that another format can store as it is need not be compressed again.
type PackedReader interface {
	// PackedSize is the plain size in bytes of this image's packed blocks, and
	// 0 when it has none.
	PackedSize() int
	// ReadPacked returns the packed block that begins at guest offset off, a
	// multiple of PackedSize, and whether there is one: the range may also be
	// zeros, plain bytes, or another image's of the chain. The block may use
	// dst's memory. Its content was not unpacked, and so not checked. It is safe
	// for concurrent use.
	ReadPacked(dst []byte, off int64) (PackedBlock, bool, error)
}

// PackedWriter is a BlockWriter that can store blocks which another image packed.
type PackedWriter interface {
	BlockWriter
	// Adopt turns a packed block of BlockSize plain bytes (or of the disk's last,
	// shorter ones) into one for Append. It reports false when this image cannot
	// store that codec. It may unpack the data to make a checksum; then data that
	// cannot be unpacked is an error. Like Encode it is pure and safe for
	// concurrent use.
	Adopt(dst []byte, b PackedBlock) (Block, bool, error)
}
