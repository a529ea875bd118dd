package xva

import (
	"strconv"
	"strings"
)

const (
	layer = "xva"

	descriptionName = "ova.xml" // always the first member
	chunkSize       = 1 << 20   // bytes of a chunk; the last of a disk may be shorter
	sectorSize      = 512
	maxChunk        = 99_999_999 // what eight digits hold
)

// sumKind is how a chunk's checksum was made.
type sumKind uint8

const (
	noSum   sumKind = iota
	xxh64           // member CHUNK.xxhash: XXH64 with seed 0, 16 upper-case hex digits
	sha1Sum         // member CHUNK.checksum: SHA-1, 40 lower-case hex digits
)

// sumKinds holds what is known of each kind, by its number.
var sumKinds = [...]struct {
	suffix string
	digits int64
}{noSum: {"", 0}, xxh64: {".xxhash", 16}, sha1Sum: {".checksum", 40}}

// chunkName is the member that holds a chunk.
type chunkName struct {
	ref    string // the disk: id of a VDI in ova.xml
	number int64
	sum    sumKind // of what the member holds the checksum; noSum for the chunk itself
}

// parseName takes "Ref:4/00000017.xxhash" apart. Other members of an archive
// are nobody's chunk.
func parseName(name string) (chunkName, bool) {
	ref, rest, ok := strings.Cut(name, "/")
	if !ok || ref == "" {
		return chunkName{}, false
	}
	c := chunkName{ref: ref}
	for kind := xxh64; kind <= sha1Sum; kind++ {
		if digits, found := strings.CutSuffix(rest, sumKinds[kind].suffix); found {
			rest, c.sum = digits, kind
			break
		}
	}
	n, err := strconv.ParseUint(rest, 10, 32)
	if err != nil || len(rest) < 8 {
		return chunkName{}, false
	}
	c.number = int64(n)
	return c, true
}

// String is the name of the member.
func (c chunkName) String() string {
	digits := strconv.FormatInt(c.number, 10)
	return c.ref + "/" + strings.Repeat("0", max(0, 8-len(digits))) + digits + sumKinds[c.sum].suffix
}
