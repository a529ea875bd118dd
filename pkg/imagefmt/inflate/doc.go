// Package inflate decodes raw deflate streams (RFC 1951) that lie in memory
// whole and whose size is known, as the compressed clusters and grains of disk
// images do.
//
// The libraries decode from an io.Reader, byte by byte and by way of a window of
// their own. Knowing all of the input and where the output goes takes half the
// time, and decoding is nearly all that reading a compressed image costs.
//
// # Security
//
// Streams are not trusted: what is no deflate is [ErrInvalid], nothing is
// written outside the given slice, and memory does not depend on the stream.
package inflate
