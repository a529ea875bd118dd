package imagefmt

import (
	"context"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Checker is implemented by formats whose tables can contradict each other or
// themselves. Check reads all of them, and no data; it opens no other file but
// the image's own extents, and repairs nothing. Findings are in the result; an
// error means that the image could not be read or is too broken to go on.
type Checker interface {
	Format
	Check(ctx context.Context, src Source, opts OpenOptions, watch ondisk.Observer) (CheckResult, error)
}

// CheckResult is what a check found.
type CheckResult struct {
	Corruptions []string // damage: data may be wrong; at most MaxFindings are spelled out
	Leaks       []string // room that nothing uses: harmless
	Corrupt     int      // how many there were of each
	Leaked      int
	Allocated   int64 // blocks of the disk that the image stores
	Blocks      int64 // blocks that the disk has
	End         int64 // first byte of the file after all that the image uses
}

// MaxFindings is how many findings of a kind a result spells out.
const MaxFindings = 100

// AddCorrupt notes damage.
func (r *CheckResult) AddCorrupt(err error) {
	r.Corrupt++
	if len(r.Corruptions) < MaxFindings {
		r.Corruptions = append(r.Corruptions, err.Error())
	}
}

// AddLeak notes room that nothing uses.
func (r *CheckResult) AddLeak(err error) {
	r.Leaked++
	if len(r.Leaks) < MaxFindings {
		r.Leaks = append(r.Leaks, err.Error())
	}
}
