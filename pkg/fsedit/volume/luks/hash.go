package luks

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"

	"golang.org/x/crypto/ripemd160"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// hashes are by the names of the headers.
var hashes = map[string]func() hash.Hash{
	"sha1": sha1.New, "sha224": sha256.New224, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New,
	"ripemd160": ripemd160.New,
}

func hashOf(name string) (func() hash.Hash, error) {
	h, ok := hashes[name]
	if !ok {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "hash %q is not known", name)
	}
	return h, nil
}
