package main

import (
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/vmconv/vmconv/pkg/imagefmt"
)

// registerOutput registers the flags that say how an image is written.
func (f *convertFlags) registerOutput(set *pflag.FlagSet) {
	set.StringVarP(&f.outFormat, "output-format", "O", "", "output `FORMAT` (see 'vmconv formats'); else the target's, or told by -o's extension")
	set.StringArrayVar(&f.options, "opt", nil, "option of the output format, `K=V`")
	set.StringVarP(&f.compression, "compress", "c", "", "compress the output's blocks, on all cores; -c=`CODEC[:LEVEL]` chooses, for instance -c=zstd or -c=zlib:9")
	set.Lookup("compress").NoOptDefVal = defaultCodec
}

// defaultCodec stands for what a format compresses with when nobody chooses.
const defaultCodec = "default"

func (f *convertFlags) compress() bool { return f.compression != "" }

// createOptions are for one output image. The same names on the command line
// give the same identities in it, and so the same bytes.
func (a *app) createOptions(f *convertFlags, c imagefmt.Creator, source, output string) (imagefmt.CreateOptions, error) {
	values, err := formatOptions(f.options, c)
	if err != nil {
		return imagefmt.CreateOptions{}, err
	}
	opts := imagefmt.CreateOptions{
		Values: values, Compress: f.compress(),
		Rand: identitySource(filepath.Base(source), filepath.Base(output)),
	}
	if now := sourceDateEpoch(a.lookup); !now.IsZero() {
		opts.Now = func() time.Time { return now }
	}
	codec, level, leveled := strings.Cut(f.compression, ":")
	if codec != defaultCodec {
		opts.Codec = codec
	}
	if leveled {
		if opts.Level, err = strconv.Atoi(level); err != nil || opts.Level < 1 || opts.Level > 9 {
			return opts, usagef("-c=%s: a level is a number from 1 to 9", f.compression)
		}
	}
	return opts, nil
}

// identitySource gives an image its UUIDs: others for another file, and the same
// when a conversion is repeated.
func identitySource(names ...string) io.Reader {
	return rand.NewChaCha8(sha256.Sum256([]byte("vmconv\x00" + strings.Join(names, "\x00"))))
}

// formatOptions reads --opt K=V, and refuses what the format does not know.
func formatOptions(options []string, c imagefmt.Creator) (map[string]string, error) {
	values := map[string]string{}
	for _, o := range options {
		k, v, ok := strings.Cut(o, "=")
		if !ok {
			return nil, usagef("--opt takes K=V, not %q", o)
		}
		i := slices.IndexFunc(c.Options(), func(known imagefmt.Option) bool { return known.Key == k })
		if i < 0 {
			return nil, usagef("%s has no option %q (it has: %s)", c.Name(), k, optionNames(c.Options()))
		}
		if choices := c.Options()[i].Choices; len(choices) > 0 && !slices.Contains(choices, v) {
			return nil, usagef("%s: %s takes %s, not %q", c.Name(), k, strings.Join(choices, ", "), v)
		}
		values[k] = v
	}
	return values, nil
}

// parseSize reads bytes, or a number with K, M, G, T or P for powers of 1024.
func parseSize(text string) (int64, error) {
	digits, shift := text, 0
	if n := len(text); n > 0 {
		if i := strings.IndexByte("KMGTP", text[n-1]&^0x20); i >= 0 {
			digits, shift = text[:n-1], 10*(i+1)
		}
	}
	v, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || v < 0 || v > (1<<62)>>shift {
		return 0, usagef("%q is no size: give bytes, or a number with K, M, G, T or P", text)
	}
	return v << shift, nil
}
