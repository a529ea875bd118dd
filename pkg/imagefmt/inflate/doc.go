// Package inflate decodes the deflate streams of disk images: blocks that lie in
// memory as a whole, and whose plain size is known and small.
//
// A decoder for streams of any length has to keep a window, hand out its output
// piece by piece, and be ready to stop for input at every bit. Here input and
// output are two slices: the output is its own window, and the decoder works in
// registers between the ends of both. That makes it about twice as fast.
//
// The format is RFC 1951, without the frames of zlib and gzip.
package inflate
