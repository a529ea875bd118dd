package vhdx

import (
	"math/bits"
	"strconv"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt"
)

// Options are named as for qemu-img.
func (Format) Options() []imagefmt.Option {
	return []imagefmt.Option{
		{Key: "subformat", Default: "dynamic", Help: "whether blocks are allocated as needed or ahead", Choices: []string{"dynamic", "fixed"}},
		{Key: "block_size", Default: "2M", Help: "bytes of a block, a power of two from 1M to 256M"},
		{Key: "log_size", Default: "1M", Help: "bytes of the log, whole MiB up to 64M"},
		{Key: "preallocation", Default: "off", Help: "how the room of a fixed image is reserved", Choices: []string{"off", "falloc", "full"}},
	}
}

const maxLogSize = 64 * mib

// settings are checked options.
type settings struct {
	fixed         bool
	blockSize     int64
	logSize       int64
	preallocation string
}

// newSettings checks all options and reports every problem at once.
func newSettings(size int64, opts imagefmt.CreateOptions) (settings, error) {
	p := imagefmt.Problems{Format: layer}
	values := p.Values(Format{}.Options(), opts.Values)
	s := settings{
		fixed:         values["subformat"] == "fixed",
		blockSize:     parseSize(values["block_size"]),
		logSize:       parseSize(values["log_size"]),
		preallocation: values["preallocation"],
	}
	if s.blockSize < minBlockSize || s.blockSize > maxBlockSize || bits.OnesCount64(uint64(s.blockSize)) != 1 {
		p.Add("block_size=%q is not a power of two from 1M to 256M", values["block_size"])
	}
	if s.logSize < mib || s.logSize > maxLogSize || s.logSize%mib != 0 {
		p.Add("log_size=%q is not whole MiB from 1M to 64M", values["log_size"])
	}
	if s.preallocation != "off" && !s.fixed {
		p.Add("preallocation=%s needs subformat=fixed", s.preallocation)
	}
	if opts.Compress {
		p.Add("VHDX does not compress")
	}
	if size < 0 || size > maxVirtualSize {
		p.Add("a disk of %d bytes; at most 64 TiB are possible", size)
	}
	return s, p.Err()
}

// parseSize reads a size like "2M"; -1 when it is none.
func parseSize(text string) int64 {
	digits, shift := text, 0
	if n := len(text); n > 0 {
		if i := strings.IndexByte("KMG", text[n-1]&^0x20); i >= 0 {
			digits, shift = text[:n-1], 10*(i+1)
		}
	}
	v, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return -1
	}
	return int64(v << shift)
}
