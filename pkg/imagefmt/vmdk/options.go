package vmdk

import (
	"strconv"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	// maxDiskBytes is beyond the 62 TiB at which VMware's own disks end; it
	// keeps a grain directory in a few megabytes.
	maxDiskBytes = 64 << 40
	// splitSectors is where VMware begins the next file of a split disk:
	// 2047 MiB, so that with its tables a file stays below 2 GiB.
	splitSectors = 2047 << 11
)

// Options are named as for qemu-img.
func (Format) Options() []imagefmt.Option {
	return []imagefmt.Option{
		{Key: "subformat", Default: typeMonolithicSparse, Help: "kind of the image; streamOptimized is compressed, and the only one for pipes and OVA",
			Choices: []string{typeMonolithicSparse, typeMonolithicFlat, typeSplitSparse, typeSplitFlat, typeStream, typeVMFS}},
		{Key: "adapter_type", Default: "lsilogic", Help: "controller that the disk is made for", Choices: []string{"ide", "lsilogic", "buslogic", "legacyESX"}},
		{Key: "hwversion", Default: "4", Help: "version of VMware's virtual hardware, from 3 to 99"},
		{Key: "preallocation", Default: "off", Help: "room for flat subformats: none ahead, reserved, or written", Choices: []string{"off", "falloc", "full"}},
	}
}

// settings are checked options.
type settings struct {
	subformat     string
	adapter       string
	hardware      string
	preallocation string
	level         int
}

// newSettings checks all options and reports every problem at once.
func newSettings(size int64, opts imagefmt.CreateOptions) (settings, error) {
	p := imagefmt.Problems{Format: layer}
	known := Format{}.Options()
	if opts.Compress {
		known[0].Default = typeStream // the subformat that has compression
	}
	values := p.Values(known, opts.Values)
	s := settings{
		subformat:     values["subformat"],
		adapter:       values["adapter_type"],
		hardware:      values["hwversion"],
		preallocation: values["preallocation"],
		level:         opts.Level,
	}
	if v, err := strconv.ParseUint(s.hardware, 10, 8); err != nil || v < 3 || v > 99 {
		p.Add("hwversion=%q is not a number from 3 to 99", s.hardware)
	}
	if !s.flat() && s.preallocation != "off" {
		p.Add("preallocation needs a flat subformat, not %s", s.subformat)
	}
	s.checkPacking(&p, opts)
	switch {
	case size < 0:
		p.Add("negative size %d", size)
	case size > maxDiskBytes:
		p.Add("a disk of %d bytes; at most %d are possible", size, int64(maxDiskBytes))
	case s.split() && ondisk.DivUp(size, splitSectors*sectorSize) > maxExtents:
		p.Add("a disk of %d bytes needs more than %d files of 2 GiB; choose %s", size, maxExtents, typeMonolithicFlat)
	}
	return s, p.Err()
}

// checkPacking is about compression, which only one subformat has.
func (s *settings) checkPacking(p *imagefmt.Problems, opts imagefmt.CreateOptions) {
	if s.subformat != typeStream {
		if opts.Compress || opts.Codec != "" || opts.Level != 0 {
			p.Add("%s cannot be compressed; only %s is", s.subformat, typeStream)
		}
		return
	}
	if c := opts.Codec; c != "" && c != "zlib" && c != "deflate" {
		p.Add("compression by %q; only zlib is possible", c)
	}
	switch {
	case opts.Level < 0 || opts.Level > 9:
		p.Add("compression level %d is not one from 1 to 9", opts.Level)
	case opts.Level == 0:
		s.level = defaultLevel
	}
}

// flat reports whether the data lies in extents without a structure.
func (s *settings) flat() bool {
	return s.subformat == typeMonolithicFlat || s.subformat == typeSplitFlat || s.subformat == typeVMFS
}

// split reports whether the data is cut into files of 2 GiB.
func (s *settings) split() bool {
	return s.subformat == typeSplitSparse || s.subformat == typeSplitFlat
}
