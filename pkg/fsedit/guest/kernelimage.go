package guest

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// Offsets of the x86 boot protocol (Documentation/arch/x86/boot.rst) and of the
// arm64 image header (Documentation/arch/arm64/booting.rst).
const (
	bootMagicOff  = 0x202 // "HdrS"
	versionPtrOff = 0x20e
	xloadflagsOff = 0x236
	xlf64         = 1
	armMagicOff   = 56 // "ARM\x64"
	bannerLen     = 256
	searchStep    = 1 << 20
)

// versionInImage is the release that a kernel image states: of x86 in its setup
// header, of others in the banner. limit bounds what is searched.
func versionInImage(v View, p string, limit int64) string {
	dev, err := v.Open(p)
	if err != nil {
		return ""
	}
	head := make([]byte, 0x240)
	if n, _ := dev.ReadAt(head, 0); n < len(head) {
		return ""
	}
	if string(head[bootMagicOff:bootMagicOff+4]) == "HdrS" {
		return setupVersion(dev, head)
	}
	r := io.Reader(blockdev.NewReader(dev))
	if head[0] == 0x1f && head[1] == 0x8b {
		z, err := gzip.NewReader(r)
		if err != nil {
			return ""
		}
		r = z
	} else if string(head[armMagicOff:armMagicOff+4]) != "ARM\x64" && string(head[:4]) != "\x7fELF" {
		return ""
	}
	return searchBanner(io.LimitReader(r, limit*8))
}

func setupVersion(dev blockdev.Device, head []byte) string {
	at := int64(binary.LittleEndian.Uint16(head[versionPtrOff:])) + 0x200
	if at == 0x200 {
		return ""
	}
	p := make([]byte, bannerLen)
	n, _ := dev.ReadAt(p, at)
	return firstWord(p[:n])
}

// firstWord is the release at the start of a banner.
func firstWord(p []byte) string {
	end := bytes.IndexAny(p, " \x00")
	if end <= 0 {
		return ""
	}
	for _, c := range p[:end] {
		if c <= ' ' || c > '~' || c == '/' {
			return ""
		}
	}
	return string(p[:end])
}

// searchBanner looks for "Linux version 6.1.0-18-arm64 (" in a stream.
func searchBanner(r io.Reader) string {
	mark := []byte("Linux version ")
	buf := make([]byte, 0, searchStep+bannerLen)
	for {
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		for p := buf; ; {
			i := bytes.Index(p, mark)
			if i < 0 {
				break
			}
			p = p[i+len(mark):]
			if w := firstWord(p); w != "" && !strings.HasPrefix(w, "%") {
				return w
			}
		}
		if err != nil {
			return ""
		}
		keep := min(len(buf), bannerLen)
		copy(buf, buf[len(buf)-keep:])
		buf = buf[:keep]
	}
}

// archOfImage is the architecture that an image's header shows.
func archOfImage(v View, p string) string {
	dev, err := v.Open(p)
	if err != nil {
		return ""
	}
	head := make([]byte, 0x240)
	if n, _ := dev.ReadAt(head, 0); n < len(head) {
		return ""
	}
	switch {
	case string(head[bootMagicOff:bootMagicOff+4]) == "HdrS" && head[xloadflagsOff]&xlf64 != 0:
		return "x86_64"
	case string(head[bootMagicOff:bootMagicOff+4]) == "HdrS":
		return "i386" // or older than the flag; a module tells then
	case string(head[armMagicOff:armMagicOff+4]) == "ARM\x64":
		return "aarch64"
	}
	return elfMachine(head)
}
