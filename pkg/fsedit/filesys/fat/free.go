package fat

import (
	"context"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// FreeExtents are the clusters that the tables call free. All of it must agree
// first: the tables with one another, and the chains of all files with them. Bad
// clusters, lost chains, and what the last sectors have behind the last cluster,
// are not free.
func (v *volume) FreeExtents(ctx context.Context) ([]filesys.Range, error) {
	at := ondisk.At(layer, "FAT", v.fatOff)
	if !v.mirrored {
		return nil, at.Unsupported(notMirrored)
	}
	a, err := v.audit(ctx)
	if err != nil {
		return nil, err
	}
	if a.problem != nil {
		return nil, a.problem
	}
	out := []filesys.Range{}
	for c, end := uint32(2), v.clusters+2; c < end; {
		if a.used.has(c) {
			c++
			continue
		}
		first := c
		for c < end && !a.used.has(c) {
			c++
		}
		if int64(len(out)) >= v.limits.Table/16 {
			return nil, at.TooBig("more than %d free ranges", len(out))
		}
		out = append(out, filesys.Range{Off: v.clusterOff(first), Len: int64(c-first) << v.clusterBits})
	}
	return out, nil
}
