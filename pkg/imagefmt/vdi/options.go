package vdi

import "github.com/vmconv/vmconv/pkg/imagefmt"

// Options are named as for qemu-img.
func (Format) Options() []imagefmt.Option {
	return []imagefmt.Option{
		{Key: "subformat", Default: "dynamic", Help: "static stores every block at its place, dynamic the ones with data", Choices: []string{"dynamic", "static"}},
		{Key: "static", Default: "off", Help: "on is subformat=static", Choices: []string{"on", "off"}},
		{Key: "preallocation", Default: "off", Help: "metadata is subformat=static; of a static image, falloc reserves the room and full writes it all", Choices: []string{"off", "metadata", "falloc", "full"}},
	}
}

// blockBits of a new image: 1 MiB, the only size that QEMU opens.
const blockBits = 20

// maxNewBlocks is how large a map can be so that the offset of the data, whole
// mebibytes, still fits in its field.
const maxNewBlocks = (0xfff00000 - mapOffset) / entrySize

// settings are checked options.
type settings struct {
	static  bool
	reserve bool // take the room ahead
	full    bool // write every byte
}

// newSettings checks all options and reports every problem at once.
func newSettings(size int64, opts imagefmt.CreateOptions) (settings, error) {
	p := imagefmt.Problems{Format: layer}
	values := p.Values(Format{}.Options(), opts.Values)
	s := settings{
		static:  values["subformat"] == "static" || values["static"] == "on" || values["preallocation"] == "metadata",
		reserve: values["preallocation"] == "falloc",
		full:    values["preallocation"] == "full",
	}
	if s.static && (opts.Values["subformat"] == "dynamic" || opts.Values["static"] == "off") {
		p.Add("subformat, static and preallocation=metadata contradict each other")
	}
	if !s.static && (s.reserve || s.full) {
		p.Add("preallocation=%s needs subformat=static", values["preallocation"])
	}
	if opts.Compress {
		p.Add("images cannot be compressed")
	}
	if size < 0 || size > maxNewBlocks<<blockBits {
		p.Add("impossible size %d; the largest is %d", size, int64(maxNewBlocks)<<blockBits)
	}
	return s, p.Err()
}
