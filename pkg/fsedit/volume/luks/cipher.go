package luks

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"runtime"
	"strings"
	"sync"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// crypt encrypts or decrypts one sector in its place. iv is the initial vector; it
// and scratch, as long as a sector, may be overwritten.
type crypt func(p, iv, scratch []byte)

// sectors is a cipher over numbered sectors, as dm-crypt's crypt target has it
// (Documentation/admin-guide/device-mapper/dm-crypt.rst). It is safe for concurrent
// use.
type sectors struct {
	size     int // of a sector, in bytes
	narrow   bool
	essiv    cipher.Block // encrypts the number, or nil
	enc, dec crypt
	scratch  sync.Pool // of *scratch
}

type scratch struct {
	iv     [aes.BlockSize]byte
	sector [4096]byte
}

// newSectors is the cipher that a header names: "aes-xts-plain64".
func newSectors(spec string, key []byte, size int) (*sectors, error) {
	name, rest, _ := strings.Cut(spec, "-")
	mode, iv, _ := strings.Cut(rest, "-")
	if name != "aes" || mode != "xts" && mode != "cbc" {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "cipher %q is not known", spec)
	}
	s := &sectors{size: size}
	s.scratch.New = func() any { return new(scratch) }
	var err error
	switch {
	case iv == "plain64":
	case iv == "plain":
		s.narrow = true
	case iv == "essiv:sha256" && mode == "cbc":
		salt := sha256.Sum256(key)
		s.essiv, err = aes.NewCipher(salt[:])
	default:
		err = ondisk.Because(ondisk.ErrUnsupported, "cipher %q is not known", spec)
	}
	if err == nil && mode == "xts" {
		s.enc, s.dec, err = xts(key)
	} else if err == nil {
		s.enc, s.dec, err = cbc(key)
	}
	var length aes.KeySizeError
	if errors.As(err, &length) {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "a key of %d bytes for %s", len(key), spec)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *sectors) encrypt(p []byte, unit uint64) { s.share(p, unit, s.enc) }
func (s *sectors) decrypt(p []byte, unit uint64) { s.share(p, unit, s.dec) }

// shareSize is how much one core takes at least.
const shareSize = 128 << 10

// share runs do over whole sectors, the first of which has the number unit, on as
// many cores as that is worth.
func (s *sectors) share(p []byte, unit uint64, do crypt) {
	workers := min(runtime.GOMAXPROCS(0), len(p)/shareSize)
	if workers < 2 {
		s.run(p, unit, do)
		return
	}
	part := int(ondisk.AlignUp(int64(len(p)/workers), 4096))
	var wg sync.WaitGroup
	for at := part; at < len(p); at += part {
		wg.Go(func() { s.run(p[at:min(at+part, len(p))], unit+uint64(at/sector), do) })
	}
	s.run(p[:part], unit, do)
	wg.Wait()
}

func (s *sectors) run(p []byte, unit uint64, do crypt) {
	x := s.scratch.Get().(*scratch)
	defer s.scratch.Put(x)
	for ; len(p) > 0; p = p[s.size:] {
		s.vector(x.iv[:], unit)
		do(p[:s.size], x.iv[:], x.sector[:s.size])
		unit += uint64(s.size / sector)
	}
}

// vector makes the initial vector of a sector: its number, in units of 512 bytes
// whatever its size.
func (s *sectors) vector(iv []byte, unit uint64) {
	if s.narrow {
		unit = uint64(uint32(unit))
	}
	le.PutUint64(iv, unit)
	le.PutUint64(iv[8:], 0)
	if s.essiv != nil {
		s.essiv.Encrypt(iv, iv)
	}
}
