package qcow2

import (
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/vmconv/vmconv/pkg/imagefmt/inflate"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// decompress fills dst, one cluster, from in, whose end may belong to somebody
// else. A stream that gives less than a cluster is corrupt; what it would give
// beyond one is never decoded.
func decompress(method uint8, dst, in []byte) error {
	if method == compressionZstd {
		return unzstd(dst, in)
	}
	return undeflate(dst, in)
}

func undeflate(dst, in []byte) error {
	n, _, err := inflate.Block(dst, in)
	if err == nil && n < len(dst) {
		err = ondisk.Because(ondisk.ErrCorrupt, "deflate: the stream gives %d of %d bytes", n, len(dst))
	}
	return err
}

// unzstders decode on the caller's goroutine into the caller's memory only.
var unzstders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(1<<maxClusterBits<<1))
	if err != nil {
		return err
	}
	return d
}}

func unzstd(dst, in []byte) error {
	d, ok := unzstders.Get().(*zstd.Decoder)
	if !ok {
		return ondisk.Because(ondisk.ErrUnsupported, "zstd decoder cannot be made")
	}
	defer unzstders.Put(d)
	done := 0
	for done < len(dst) {
		n, err := zstdFrame(in)
		if err != nil {
			return err
		}
		out, err := d.DecodeAll(in[:n], dst[done:done:len(dst)])
		if err != nil {
			return ondisk.Because(ondisk.ErrCorrupt, "zstd frame: %v", err)
		}
		if len(out) == 0 {
			return ondisk.Because(ondisk.ErrCorrupt, "empty zstd frame after %d of %d bytes", done, len(dst))
		}
		done += len(out)
		in = in[n:]
	}
	return nil
}

// zstdFrame is the length of the frame that in begins with. The decoder would
// take what follows it for another frame.
func zstdFrame(in []byte) (int, error) {
	var h zstd.Header
	if err := h.Decode(in); err != nil {
		return 0, ondisk.Because(ondisk.ErrCorrupt, "zstd frame header: %v", err)
	}
	if h.Skippable {
		return 0, ondisk.Because(ondisk.ErrCorrupt, "zstd frame without data")
	}
	const (
		blockHeader = 3
		typeRLE     = 1
		checksum    = 4
	)
	pos := h.HeaderSize
	for last := false; !last; {
		if pos+blockHeader > len(in) {
			return 0, ondisk.Because(ondisk.ErrCorrupt, "zstd frame is cut off")
		}
		b := uint32(in[pos]) | uint32(in[pos+1])<<8 | uint32(in[pos+2])<<16
		last = b&1 != 0
		size := int(b >> 3)
		if b>>1&3 == typeRLE {
			size = 1
		}
		pos += blockHeader + size
	}
	if h.HasCheckSum {
		pos += checksum
	}
	if pos > len(in) {
		return 0, ondisk.Because(ondisk.ErrCorrupt, "zstd frame is cut off")
	}
	return pos, nil
}
