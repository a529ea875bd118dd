package luks

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

var le = binary.LittleEndian

// xts is XEX with tweaks (IEEE 1619-2007): each half of the key is a key of its
// own. A sector's tweaks are made first, so that the rest runs over plain memory:
// that is three times as fast as one block after the other.
func xts(key []byte) (enc, dec crypt, err error) {
	data, err := aes.NewCipher(key[:len(key)/2])
	if err != nil {
		return nil, nil, err
	}
	number, err := aes.NewCipher(key[len(key)/2:])
	if err != nil {
		return nil, nil, err
	}
	with := func(one func(dst, src []byte)) crypt {
		return func(p, iv, tweaks []byte) {
			number.Encrypt(iv, iv)
			spread(tweaks, iv)
			subtle.XORBytes(p, p, tweaks)
			for i := 0; i < len(p); i += aes.BlockSize {
				b := p[i : i+aes.BlockSize : i+aes.BlockSize]
				one(b, b)
			}
			subtle.XORBytes(p, p, tweaks)
		}
	}
	return with(data.Encrypt), with(data.Decrypt), nil
}

// spread fills tweaks with the first one and its multiples by the powers of x in
// GF(2^128).
func spread(tweaks, first []byte) {
	lo, hi := le.Uint64(first), le.Uint64(first[8:])
	for ; len(tweaks) >= aes.BlockSize; tweaks = tweaks[aes.BlockSize:] {
		le.PutUint64(tweaks, lo)
		le.PutUint64(tweaks[8:], hi)
		carry := hi >> 63
		hi = hi<<1 | lo>>63
		lo = lo<<1 ^ carry*0x87
	}
}

// cbc chains the blocks of a sector.
func cbc(key []byte) (enc, dec crypt, err error) {
	data, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, err
	}
	return func(p, iv, _ []byte) { cbcEncrypt(data, p, iv) }, func(p, iv, old []byte) { cbcDecrypt(data, p, iv, old) }, nil
}

func cbcEncrypt(data cipher.Block, p, iv []byte) {
	for i := 0; i < len(p); i += aes.BlockSize {
		b := p[i : i+aes.BlockSize : i+aes.BlockSize]
		subtle.XORBytes(b, b, iv)
		data.Encrypt(b, b)
		iv = b
	}
}

// cbcDecrypt keeps what the sector was in old, for the chain.
func cbcDecrypt(data cipher.Block, p, iv, old []byte) {
	copy(old, p)
	for i := 0; i < len(p); i += aes.BlockSize {
		b := p[i : i+aes.BlockSize : i+aes.BlockSize]
		data.Decrypt(b, b)
	}
	subtle.XORBytes(p, p, iv)
	subtle.XORBytes(p[aes.BlockSize:], p[aes.BlockSize:], old)
}
