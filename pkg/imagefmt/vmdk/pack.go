package vmdk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/adler32"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// defaultLevel comes within three percent of the size that zlib gives at its
// default, in a third of the time.
const defaultLevel = 6

// maxAdopted is the longest deflate stream that is taken over: VMware reads
// records of up to one sector more than a grain.
const maxAdopted = grainBytes + sectorSize - grainMarkerSize - 2 - 4

// zlibHeader is the one of RFC 1950 for a window of 32 KiB and no dictionary.
var zlibHeader = [2]byte{0x78, 0x9c}

// A record is a grain as a stream stores it:
//
//	marker (12 bytes) | 78 9c | deflate | Adler-32 of the plain bytes | zeros to a whole sector

// openRecord begins one in dst's memory; its size comes with sealRecord.
func openRecord(dst []byte, off int64) []byte {
	p := binary.LittleEndian.AppendUint64(dst[:0], uint64(off/sectorSize))
	p = append(p, 0, 0, 0, 0)
	return append(p, zlibHeader[:]...)
}

// sealRecord ends it.
func sealRecord(p []byte, plain []byte) []byte {
	p = binary.BigEndian.AppendUint32(p, adler32.Checksum(plain))
	binary.LittleEndian.PutUint32(p[8:], uint32(len(p)-grainMarkerSize))
	return append(p, zeroSector[:-len(p)&(sectorSize-1)]...)
}

// packer makes records. It is safe for concurrent use.
type packer struct {
	level     int
	deflaters sync.Pool
	inflaters sync.Pool
}

// deflater is an encoder with the slice that it appends to.
type deflater struct {
	out appender
	enc *flate.Writer
}

type appender struct{ p []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.p = append(a.p, p...)
	return len(p), nil
}

func (k *packer) deflater() (*deflater, error) {
	if d, ok := k.deflaters.Get().(*deflater); ok {
		return d, nil
	}
	d := &deflater{}
	var err error
	d.enc, err = flate.NewWriter(&d.out, k.level)
	return d, err
}

// pack makes the record of the grain at off. Data that does not shrink is
// deflate's own "stored" blocks: a stream has no plain grains.
func (k *packer) pack(dst []byte, off int64, plain []byte) ([]byte, error) {
	d, err := k.deflater()
	if err != nil {
		return nil, err
	}
	defer k.deflaters.Put(d)
	d.out.p = openRecord(dst, off)
	d.enc.Reset(&d.out)
	if _, err := d.enc.Write(plain); err != nil {
		return nil, err
	}
	if err := d.enc.Close(); err != nil {
		return nil, err
	}
	p := d.out.p
	d.out.p = nil
	return sealRecord(p, plain), nil
}

// inflater unpacks one grain at a time.
type inflater struct {
	in    bytes.Reader
	dec   io.ReadCloser
	plain [grainBytes + 1]byte // one more, to see that there is no more
}

func (k *packer) inflater() *inflater {
	if i, ok := k.inflaters.Get().(*inflater); ok {
		return i
	}
	i := &inflater{}
	i.dec = flate.NewReader(&i.in)
	return i
}

// adopt makes the record of a grain that is packed already, unless it unpacks to
// another length, or to more than zeros after the disk's end. b.Data may go on
// after the end of its deflate stream. A grain of zeros has no record.
func (k *packer) adopt(dst []byte, b imagefmt.PackedBlock) (record []byte, ok bool, err error) {
	i := k.inflater()
	defer k.inflaters.Put(i)
	plain, used, err := i.inflate(b.Data)
	switch {
	case errors.Is(err, io.ErrShortBuffer):
		return nil, false, nil
	case err != nil:
		return nil, false, ondisk.At(layer, "packed block", b.Off).Corrupt("%v", err)
	case len(plain) < b.Len:
		return nil, false, ondisk.At(layer, "packed block", b.Off).Corrupt("it holds %d bytes instead of %d", len(plain), b.Len)
	case len(plain) < grainBytes || !ondisk.IsZero(plain[b.Len:]) || used > maxAdopted:
		return nil, false, nil
	case ondisk.IsZero(plain):
		return nil, true, nil
	}
	p := append(openRecord(dst, b.Off), b.Data[:used]...)
	return sealRecord(p, plain), true, nil
}

// inflate unpacks p and tells how many of its bytes that took. More than a grain
// is io.ErrShortBuffer.
func (i *inflater) inflate(p []byte) (plain []byte, used int, err error) {
	i.in.Reset(p)
	if err := i.dec.(flate.Resetter).Reset(&i.in, nil); err != nil {
		return nil, 0, err
	}
	n, err := io.ReadFull(i.dec, i.plain[:])
	switch {
	case err == nil:
		return nil, 0, io.ErrShortBuffer
	case err == io.EOF: // an empty stream
	case !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, 0, err
	default:
		// ReadFull says the same of a stream that ended well and of one cut off.
		if _, err := i.dec.Read(i.plain[n : n+1]); err != io.EOF {
			return nil, 0, io.ErrUnexpectedEOF
		}
	}
	return i.plain[:n], len(p) - i.in.Len(), nil
}
