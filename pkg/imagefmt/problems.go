package imagefmt

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Problems gathers what is wrong with [CreateOptions], so that all of it is
// reported at once.
type Problems struct {
	Format string // its name, for messages
	found  []error
}

// Add notes a problem, which is ondisk.ErrUnsupported.
func (p *Problems) Add(format string, args ...any) {
	p.found = append(p.found, ondisk.At(p.Format, "options", ondisk.NoOffset).Unsupported(format, args...))
}

// Err is all problems, or nil without one.
func (p *Problems) Err() error { return errors.Join(p.found...) }

// Values are the given options over the defaults of the known ones. A key that is
// not known is a problem, and so is a value that is none of the choices.
func (p *Problems) Values(known []Option, given map[string]string) map[string]string {
	values := map[string]string{}
	for _, o := range known {
		values[o.Key] = o.Default
	}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		if _, ok := values[key]; !ok {
			p.Add("unknown option %q", key)
			continue
		}
		values[key] = given[key]
	}
	for _, o := range known {
		if v := values[o.Key]; len(o.Choices) > 0 && !slices.Contains(o.Choices, v) {
			p.Add("%s=%q is not one of %s", o.Key, v, strings.Join(o.Choices, ", "))
		}
	}
	return values
}
