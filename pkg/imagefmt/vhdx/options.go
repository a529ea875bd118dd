package vhdx

import (
	"errors"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
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
	var p problems
	values := map[string]string{}
	for _, o := range (Format{}).Options() {
		values[o.Key] = o.Default
	}
	for key, v := range opts.Values {
		if _, known := values[key]; !known {
			p.add("unknown option %q", key)
			continue
		}
		values[key] = v
	}
	for _, o := range (Format{}).Options() {
		if v := values[o.Key]; len(o.Choices) > 0 && !slices.Contains(o.Choices, v) {
			p.add("%s=%q is not one of %s", o.Key, v, strings.Join(o.Choices, ", "))
		}
	}
	s := settings{
		fixed:         values["subformat"] == "fixed",
		blockSize:     parseSize(values["block_size"]),
		logSize:       parseSize(values["log_size"]),
		preallocation: values["preallocation"],
	}
	if s.blockSize < minBlockSize || s.blockSize > maxBlockSize || bits.OnesCount64(uint64(s.blockSize)) != 1 {
		p.add("block_size=%q is not a power of two from 1M to 256M", values["block_size"])
	}
	if s.logSize < mib || s.logSize > maxLogSize || s.logSize%mib != 0 {
		p.add("log_size=%q is not whole MiB from 1M to 64M", values["log_size"])
	}
	if s.preallocation != "off" && !s.fixed {
		p.add("preallocation=%s needs subformat=fixed", s.preallocation)
	}
	if opts.Compress {
		p.add("VHDX does not compress")
	}
	if size < 0 || size > maxVirtualSize {
		p.add("a disk of %d bytes; at most 64 TiB are possible", size)
	}
	return s, errors.Join(p...)
}

// problems gathers what is wrong with options.
type problems []error

func (p *problems) add(format string, args ...any) {
	*p = append(*p, ondisk.At(layer, "options", ondisk.NoOffset).Unsupported(format, args...))
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
