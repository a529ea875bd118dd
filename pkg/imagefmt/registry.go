package imagefmt

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Registry is a set of formats. It is a value that somebody builds and passes
// on; there is no global one. It does not change after it was built.
type Registry struct {
	formats []Format
	aliases map[string]string
}

// NewRegistry holds the given formats. Two of one name are a mistake of the
// program, and the only thing here that panics.
func NewRegistry(formats ...Format) *Registry {
	r := &Registry{aliases: map[string]string{"img": "raw", "vpc": "vhd"}}
	for _, f := range formats {
		if r.byName(f.Name()) != nil {
			panic("imagefmt: two formats named " + f.Name())
		}
		r.formats = append(r.formats, f)
	}
	return r
}

// All lists the formats in the order of their registration.
func (r *Registry) All() []Format { return slices.Clone(r.formats) }

// Lookup finds a format by its name or a usual other name of it.
func (r *Registry) Lookup(name string) (Format, error) {
	name = strings.ToLower(name)
	if f := r.byName(name); f != nil {
		return f, nil
	}
	if f := r.byName(r.aliases[name]); f != nil {
		return f, nil
	}
	return nil, ondisk.Because(ondisk.ErrUnsupported, "unknown image format %q (known: %s)", name, strings.Join(r.Names(), ", "))
}

func (r *Registry) byName(name string) Format {
	for _, f := range r.formats {
		if f.Name() == name {
			return f
		}
	}
	return nil
}

// Names lists the formats' names, sorted.
func (r *Registry) Names() []string {
	names := make([]string, 0, len(r.formats))
	for _, f := range r.formats {
		names = append(names, f.Name())
	}
	slices.Sort(names)
	return names
}

// Probe finds the one format that src is in. Sure beats Maybe; two that are
// Sure are ondisk.ErrAmbiguous, since a guest can forge a header on its disk.
func (r *Registry) Probe(src Source) (Format, error) {
	var best []Format
	level := ondisk.None
	for _, f := range r.formats {
		m, err := f.Probe(src)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", src.Name(), err)
		}
		switch {
		case m == ondisk.None || m < level:
		case m > level:
			best, level = []Format{f}, m
		default:
			best = append(best, f)
		}
	}
	switch len(best) {
	case 1:
		return best[0], nil
	case 0:
		return nil, ondisk.Because(ondisk.ErrFormat, "%s: no known image format", src.Name())
	}
	names := make([]string, len(best))
	for i, f := range best {
		names[i] = f.Name()
	}
	return nil, ondisk.Because(ondisk.ErrAmbiguous, "%s: looks like %s; name one with -f", src.Name(), strings.Join(names, " and "))
}

// Open opens src in the named format, or in the one that Probe finds when name
// is empty. Backing files are opened in the format that the referring header
// names, never probed, to the depth of the limits and never twice.
func (r *Registry) Open(ctx context.Context, src Source, name string, opts OpenOptions) (Image, error) {
	f, err := r.Choose(src, name)
	if err != nil {
		return nil, err
	}
	opts.Backing = r.chain(opts, []string{src.Identity()})
	return f.Open(ctx, src, opts)
}

// Choose is the named format, or the one that Probe finds when name is empty.
func (r *Registry) Choose(src Source, name string) (Format, error) {
	if name == "" {
		return r.Probe(src)
	}
	return r.Lookup(name)
}

// OpenUpdate opens file for changes, in the named format or the probed one.
func (r *Registry) OpenUpdate(ctx context.Context, file File, name string, opts OpenOptions) (WritableImage, error) {
	f, err := r.Choose(file, name)
	if err != nil {
		return nil, err
	}
	u, ok := f.(Updater)
	if !ok {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "%s: images in format %s cannot be changed in place; use convert", file.Name(), f.Name())
	}
	opts.Backing = r.chain(opts, []string{file.Identity()})
	return u.Update(ctx, file, opts)
}

// chain opens the next image of a backing chain; seen are those above it.
func (r *Registry) chain(opts OpenOptions, seen []string) func(context.Context, Source, string) (Image, error) {
	return func(ctx context.Context, src Source, format string) (Image, error) {
		place := ondisk.At(src.Name(), "backing chain", ondisk.NoOffset)
		if slices.Contains(seen, src.Identity()) {
			return nil, place.Corrupt("the chain leads back to %s", src.Name())
		}
		if len(seen) >= opts.Limits.OrDefault().Chain {
			return nil, place.TooBig("more than %d images in the chain", len(seen))
		}
		f, err := r.Lookup(format)
		if err != nil {
			return nil, err
		}
		next := opts
		next.Backing = r.chain(opts, append(slices.Clone(seen), src.Identity()))
		return f.Open(ctx, src, next)
	}
}
