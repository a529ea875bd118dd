package formats

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// moreVariants are ways to write a format besides those that the suite goes
// through.
var moreVariants = map[string][]imagefmt.CreateOptions{
	"qcow2": {
		{Compress: true, Codec: "zstd"},
		{Values: map[string]string{"compat": "0.10"}},
		{Values: map[string]string{"extended_l2": "on"}},
	},
	"vhd": {
		{},
		{Values: map[string]string{"azure": "on"}},
	},
	"vhdx": {{}},
}

// target is a way in which we write an image.
type target struct {
	imagefmt.Creator
	opts imagefmt.CreateOptions
}

func (g target) String() string {
	var options []string
	for _, k := range slices.Sorted(maps.Keys(g.opts.Values)) {
		options = append(options, k+"="+g.opts.Values[k])
	}
	s := g.Name()
	if g.opts.Compress {
		s += " -c"
	}
	if g.opts.Codec != "" {
		options = append(options, "compression_type="+g.opts.Codec)
	}
	if len(options) > 0 {
		s += " -o " + strings.Join(options, ",")
	}
	return s
}

// split targets cut a disk into files of 2 GiB.
func (g target) split() bool { return strings.HasPrefix(g.opts.Values["subformat"], "twoGb") }

// size is that of the image of a disk of n bytes.
func (g target) size(n int64) int64 {
	if g.opts.Values["azure"] == "on" {
		return ondisk.AlignUp(n, 1<<20)
	}
	return ondisk.AlignUp(n, max(1, configs[g.Name()].Sector))
}

// targets are all of them.
func targets(t *testing.T) (all []target) {
	t.Helper()
	for _, f := range Default().All() {
		creator, ok := f.(imagefmt.Creator)
		if !ok {
			continue
		}
		variants := slices.Concat(configs[f.Name()].Variants, moreVariants[f.Name()])
		if variants == nil {
			variants = []imagefmt.CreateOptions{{}}
		}
		for _, v := range variants {
			all = append(all, target{creator, v})
		}
	}
	return all
}
