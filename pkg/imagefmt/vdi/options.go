package vdi

import (
	"errors"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

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
	var p problems
	values := map[string]string{}
	for _, o := range (Format{}).Options() {
		v, given := opts.Values[o.Key]
		if given && !slices.Contains(o.Choices, v) {
			p.add("%s=%q is not one of %s", o.Key, v, strings.Join(o.Choices, ", "))
		}
		values[o.Key] = v
	}
	for key := range opts.Values {
		if _, known := values[key]; !known {
			p.add("unknown option %q", key)
		}
	}
	s := settings{
		static:  values["subformat"] == "static" || values["static"] == "on" || values["preallocation"] == "metadata",
		reserve: values["preallocation"] == "falloc",
		full:    values["preallocation"] == "full",
	}
	if s.static && (values["subformat"] == "dynamic" || values["static"] == "off") {
		p.add("subformat, static and preallocation=metadata contradict each other")
	}
	if !s.static && (s.reserve || s.full) {
		p.add("preallocation=%s needs subformat=static", values["preallocation"])
	}
	if opts.Compress {
		p.add("images cannot be compressed")
	}
	if size < 0 || size > maxNewBlocks<<blockBits {
		p.add("impossible size %d; the largest is %d", size, int64(maxNewBlocks)<<blockBits)
	}
	return s, errors.Join(p...)
}

// problems gathers what is wrong with options.
type problems []error

func (p *problems) add(format string, args ...any) {
	*p = append(*p, ondisk.At(layer, "options", ondisk.NoOffset).Unsupported(format, args...))
}
