package vhd

import (
	"errors"
	"slices"
	"strings"

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
	p := problems{}
	values := p.values(opts.Values)
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
	if strings.EqualFold(values["block_size"], "512k") {
		s.blockSize = 512 << 10
	}
	if azure && opts.Values["subformat"] == "dynamic" {
		p.add("azure=on needs subformat=fixed")
	}
	if _, given := opts.Values["block_size"]; given && s.fixed {
		p.add("block_size is for subformat=dynamic")
	}
	if !s.fixed && s.preallocation != "off" {
		p.add("preallocation is for subformat=fixed")
	}
	if opts.Compress {
		p.add("images cannot be compressed")
	}
	s.checkSize(&p, size)
	return s, errors.Join(p...)
}

func (s *settings) checkSize(p *problems, size int64) {
	switch {
	case size < 0:
		p.add("negative size %d", size)
	case size > maxSize:
		p.add("a disk of %d bytes is over the limit of VHD, 2040 GiB; use vhdx", size)
	case !s.fixed && s.fileSize() > noBlock*sectorSize:
		p.add("block_size of %d is too small for a disk of %d bytes", s.blockSize, size)
	}
}

// problems gathers what is wrong with options.
type problems []error

func (p *problems) add(format string, args ...any) {
	*p = append(*p, ondisk.At(layer, "options", ondisk.NoOffset).Unsupported(format, args...))
}

// values are the given options over the defaults. Choices are compared without
// regard to case, since "2m" is what some would write.
func (p *problems) values(given map[string]string) map[string]string {
	values := map[string]string{}
	known := Format{}.Options()
	for key := range given {
		if !slices.ContainsFunc(known, func(o imagefmt.Option) bool { return o.Key == key }) {
			p.add("unknown option %q", key)
		}
	}
	for _, o := range known {
		v, ok := given[o.Key]
		if !ok {
			v = o.Default
		}
		if !slices.ContainsFunc(o.Choices, func(c string) bool { return strings.EqualFold(c, v) }) {
			p.add("%s=%q is not one of %s", o.Key, v, strings.Join(o.Choices, ", "))
		}
		values[o.Key] = v
	}
	return values
}
