package ext

import "math/bits"

// Hash versions of dx_root_info.hash_version and s_def_hash_version.
const (
	hashLegacy          = 0
	hashHalfMD4         = 1
	hashTEA             = 2
	hashLegacyUnsigned  = 3
	hashHalfMD4Unsigned = 4
	hashTEAUnsigned     = 5
	hashSip             = 6
)

// hashEOF is the hash that the kernel keeps for "end of directory".
const hashEOF = 0x7fffffff << 1

// dirHash computes the hash of a name in an indexed directory. The kernel's
// documentation of hash trees (ext4, "Hash Tree Directories") gives the layout;
// bytes from 0x80 count as negative in the signed variants.
type dirHash struct {
	version  uint8 // one of the hash constants, signedness applied
	seed     [4]uint32
	nameHash func(h *dirHash, name string) (major, minor uint32)
}

// newDirHash selects the function of a version; ok is false for a version that
// cannot be computed here. unsigned is what the superblock's flags say.
func newDirHash(version uint8, unsigned bool, seed [4]uint32) (h *dirHash, ok bool) {
	if unsigned && version <= hashTEA {
		version += hashLegacyUnsigned
	}
	h = &dirHash{version: version, seed: seed}
	if seed == ([4]uint32{}) {
		h.seed = [4]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}
	}
	switch version {
	case hashLegacy, hashLegacyUnsigned:
		h.nameHash = (*dirHash).legacy
	case hashHalfMD4, hashHalfMD4Unsigned:
		h.nameHash = (*dirHash).halfMD4
	case hashTEA, hashTEAUnsigned:
		h.nameHash = (*dirHash).tea
	default:
		return nil, false
	}
	return h, true
}

// of returns the major hash, whose lowest bit is clear, and the minor one.
func (h *dirHash) of(name string) (major, minor uint32) {
	major, minor = h.nameHash(h, name)
	major &^= 1
	if major == hashEOF {
		major = (0x7fffffff - 1) << 1
	}
	return major, minor
}

// char widens a byte as the C type of the variant does.
func (h *dirHash) char(c byte) uint32 {
	if h.version >= hashLegacyUnsigned {
		return uint32(c)
	}
	return uint32(int32(int8(c)))
}

func (h *dirHash) legacy(name string) (major, minor uint32) {
	hash0, hash1 := uint32(0x12a3fe2d), uint32(0x37abe8f9)
	for i := range len(name) {
		hash := hash1 + (hash0 ^ h.char(name[i])*7152373)
		if hash&0x80000000 != 0 {
			hash -= 0x7fffffff
		}
		hash1, hash0 = hash0, hash
	}
	return hash0 << 1, 0
}

// words packs the front of name into dst, big end first; the length pads it.
func (h *dirHash) words(dst []uint32, name string) {
	pad := uint32(len(name)) | uint32(len(name))<<8
	pad |= pad << 16
	for i := range dst {
		dst[i] = pad
	}
	if len(name) > len(dst)*4 {
		name = name[:len(dst)*4]
	}
	for i := range len(name) {
		dst[i/4] = h.char(name[i]) + dst[i/4]<<8
	}
}

func (h *dirHash) halfMD4(name string) (major, minor uint32) {
	buf := h.seed
	var in [8]uint32
	for rest := name; len(rest) > 0; rest = rest[min(len(rest), 32):] {
		h.words(in[:], rest)
		halfMD4Transform(&buf, &in)
	}
	return buf[1], buf[2]
}

func (h *dirHash) tea(name string) (major, minor uint32) {
	buf := h.seed
	var in [4]uint32
	for rest := name; len(rest) > 0; rest = rest[min(len(rest), 16):] {
		h.words(in[:], rest)
		teaTransform(&buf, &in)
	}
	return buf[0], buf[1]
}

// halfMD4Transform is the first three rounds of MD4 over eight words.
func halfMD4Transform(buf *[4]uint32, in *[8]uint32) {
	const k2, k3 = 0x5a827999, 0x6ed9eba1 // square roots of 2 and 3, as in MD4
	rounds := [3]struct {
		f     func(x, y, z uint32) uint32
		k     uint32
		order [8]int
		shift [4]int
	}{
		{func(x, y, z uint32) uint32 { return z ^ x&(y^z) }, 0, [8]int{0, 1, 2, 3, 4, 5, 6, 7}, [4]int{3, 7, 11, 19}},
		{func(x, y, z uint32) uint32 { return x&y + (x^y)&z }, k2, [8]int{1, 3, 5, 7, 0, 2, 4, 6}, [4]int{3, 5, 9, 13}},
		{func(x, y, z uint32) uint32 { return x ^ y ^ z }, k3, [8]int{3, 7, 2, 6, 1, 5, 0, 4}, [4]int{3, 9, 11, 15}},
	}
	a, b, c, d := buf[0], buf[1], buf[2], buf[3]
	for _, r := range rounds {
		for i, w := range r.order {
			sum := bits.RotateLeft32(a+r.f(b, c, d)+in[w]+r.k, r.shift[i%4])
			a, b, c, d = d, sum, b, c
		}
	}
	buf[0] += a
	buf[1] += b
	buf[2] += c
	buf[3] += d
}

// teaTransform is sixteen rounds of the Tiny Encryption Algorithm.
func teaTransform(buf *[4]uint32, in *[4]uint32) {
	const delta = 0x9e3779b9
	b0, b1 := buf[0], buf[1]
	var sum uint32
	for range 16 {
		sum += delta
		b0 += (b1<<4 + in[0]) ^ (b1 + sum) ^ (b1>>5 + in[1])
		b1 += (b0<<4 + in[2]) ^ (b0 + sum) ^ (b0>>5 + in[3])
	}
	buf[0] += b0
	buf[1] += b1
}
