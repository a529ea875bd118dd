package imagefmttest

import "encoding/binary"

// Fill writes the test pattern of the device range from off to p: bytes that
// differ at every offset, depend on nothing but offset and seed, and do not
// compress. Pieces of any length and place fit together.
func Fill(p []byte, off int64, seed uint64) {
	var word [8]byte
	for i := 0; i < len(p); {
		at := uint64(off) + uint64(i)
		binary.LittleEndian.PutUint64(word[:], mix(at/8^seed*0x9E3779B97F4A7C15))
		i += copy(p[i:], word[at%8:])
	}
}

// Pattern is n bytes of the test pattern from off.
func Pattern(off int64, n int, seed uint64) []byte {
	p := make([]byte, n)
	Fill(p, off, seed)
	return p
}

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
