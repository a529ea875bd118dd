package luks

import "hash"

// merge takes the anti-forensic stripes together to the key that they hide (TKS1,
// section 2.4; LUKS1 specification, section 2.4): a key is lost with any one of them.
func merge(material []byte, keyLen, stripes int, h hash.Hash) []byte {
	key := make([]byte, keyLen)
	for i := range stripes {
		for j, b := range material[i*keyLen:][:keyLen] {
			key[j] ^= b
		}
		if i < stripes-1 {
			diffuse(key, h)
		}
	}
	return key
}

// diffuse hashes each block of p, as long as a hash is, with its number.
func diffuse(p []byte, h hash.Hash) {
	n := h.Size()
	var sum [64]byte
	for i := 0; i*n < len(p); i++ {
		block := p[i*n : min((i+1)*n, len(p))]
		h.Reset()
		h.Write([]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
		h.Write(block)
		copy(block, h.Sum(sum[:0]))
	}
}
