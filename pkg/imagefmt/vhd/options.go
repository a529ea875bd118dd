package vhd

import (
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Options are named as for qemu-img where it has them.
func (Format) Options() []imagefmt.Option {
	onOff := []string{"on", "off"}
	return []imagefmt.Option{
		{Key: "subformat", Default: "dynamic", Help: "store only what is used, or the whole disk", Choices: []string{"dynamic", "fixed"}},
		{Key: "azure", Default: "off", Help: "a fixed image of whole MiB, as Azure wants it", Choices: onOff},
		{Key: "block_size", Default: "2M", Help: "bytes of a block of a dynamic image", Choices: []string{"2M", "512k"}},
		{Key: "preallocation", Default: "off", Help: "reserve the room of a fixed image, or write it", Choices: []string{"off", "falloc", "full"}},
	}
}

// settings are checked options.
type settings struct {
	fixed         bool
	size          int64 // of the disk, rounded up as the format or Azure needs it
	blockSize     int64
	preallocation string
}

// newSettings checks all options and reports every problem at once.
func newSettings(size int64, opts imagefmt.CreateOptions) (settings, error) {
	p := imagefmt.Problems{Format: layer}
	values := p.Values(Format{}.Options(), opts.Values)
	azure := values["azure"] == "on"
	s := settings{
		fixed:         values["subformat"] == "fixed" || azure,
		size:          ondisk.AlignUp(max(size, 0), sectorSize),
		blockSize:     2 << 20,
		preallocation: values["preallocation"],
	}
	if azure {
		s.size = ondisk.AlignUp(s.size, 1<<20)
	}
	if values["block_size"] == "512k" {
		s.blockSize = 512 << 10
	}
	if azure && opts.Values["subformat"] == "dynamic" {
		p.Add("azure=on needs subformat=fixed")
	}
	if _, given := opts.Values["block_size"]; given && s.fixed {
		p.Add("block_size is for subformat=dynamic")
	}
	if !s.fixed && s.preallocation != "off" {
		p.Add("preallocation is for subformat=fixed")
	}
	if opts.Compress {
		p.Add("images cannot be compressed")
	}
	s.checkSize(&p, size)
	return s, p.Err()
}

func (s *settings) checkSize(p *imagefmt.Problems, size int64) {
	switch {
	case size < 0:
		p.Add("negative size %d", size)
	case size > maxSize:
		p.Add("a disk of %d bytes is over the limit of VHD, 2040 GiB; use vhdx", size)
	case !s.fixed && s.fileSize() > noBlock*sectorSize:
		p.Add("block_size of %d is too small for a disk of %d bytes", s.blockSize, size)
	}
}
