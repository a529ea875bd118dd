package qcow2

import (
	"context"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var _ imagefmt.Checker = Format{}

// Check counts the references to every cluster of the file anew, and holds them
// against the counts that the image stores. A count that is too low is damage, since
// a writer would give the cluster to somebody else; one that is too high is a
// leak. It judges as qemu-img check does.
//
// A part of the file at a time is counted, as much as Limits.Table has room for; only
// images of more than a million million bytes or with very small clusters need
// several parts, each of which reads the L2 tables again.
func (Format) Check(ctx context.Context, src imagefmt.Source, opts imagefmt.OpenOptions, watch ondisk.Observer) (imagefmt.CheckResult, error) {
	limits := opts.Limits.OrDefault()
	h, err := readHeader(src, limits)
	if err != nil {
		return imagefmt.CheckResult{}, err
	}
	if unknown := h.Incompatible &^ incompatKnown; unknown != 0 {
		return imagefmt.CheckResult{}, ondisk.At(layer, "header", 0).In("incompatible features").Unsupported("%s", h.nameBits(0, unknown))
	}
	c := &checker{geometry: h.geometry, src: src, hdr: h, limits: limits, watch: watch}
	c.result.Blocks = ondisk.DivUp(h.size(), h.clusterSize())
	if h.has(incompatCorrupt) {
		c.damage("header", 0, -1, "the image is marked as corrupt")
	}
	if err := c.gather(); err != nil {
		return c.result, err
	}
	return c.result, c.count(ctx)
}

// checker holds what one check knows.
type checker struct {
	geometry
	src    imagefmt.Source
	hdr    *header
	limits ondisk.Limits
	watch  ondisk.Observer
	result imagefmt.CheckResult

	stored storedCounts
	areas  []area
	tables []l2Table // ascending, each once
	tally  tally
	again  bool // the L2 tables were read before: nothing is reported twice
}

// area is a part of the file that is in use, and is no guest data.
type area struct {
	name   string
	off, n int64
	times  uint32 // how often it is referred to
}

// damage notes a finding about entry index of a structure, or about all of it
// when index is negative.
func (c *checker) damage(name string, off, index int64, format string, args ...any) {
	switch {
	case c.again:
	case c.result.Corrupt >= imagefmt.MaxFindings:
		c.result.Corrupt++
	default:
		at := ondisk.At(layer, name, off)
		if index >= 0 {
			at = at.In("entry %d", index)
		}
		c.result.AddCorrupt(at.Corrupt(format, args...))
	}
}

// count goes through the file part by part.
func (c *checker) count(ctx context.Context) error {
	// A compressed cluster may end within the cluster after the file's last.
	clusters := ondisk.DivUp(c.src.Size(), c.clusterSize()) + 1
	part := min(clusters, max(1, c.limits.Table/tallyEntry))
	parts := ondisk.DivUp(clusters, part)
	if parts > maxTallyParts {
		return ondisk.At(layer, "refcount table", c.stored.off).TooBig("a file of %d bytes in clusters of %d", c.src.Size(), c.clusterSize())
	}
	c.tally = tally{bits: c.clusterBits, counts: make([]uint32, part), used: make([]bool, parts)}
	for i := range parts {
		if c.again && !c.tally.used[i] && !c.stored.any(i*part, part) {
			continue
		}
		c.tally.begin(i * part)
		if err := c.countPart(ctx); err != nil {
			return err
		}
		c.again = true
	}
	return nil
}

func (c *checker) countPart(ctx context.Context) error {
	for _, a := range c.areas {
		c.refer(a.name, a.off, -1, a.off, a.n, a.times)
	}
	buf := make([]byte, c.clusterSize())
	for i, t := range c.tables {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := ondisk.Full(c.src, buf, t.off); err != nil {
			return ondisk.At(layer, "L2 table", t.off).Wrap(err)
		}
		if err := c.table(t, buf); err != nil {
			return err
		}
		c.watch.Tell(ondisk.Event{Phase: "checking", Done: int64(i+1) << c.clusterBits, Total: int64(len(c.tables)) << c.clusterBits})
	}
	return c.compare(ctx)
}

// refer counts times references, from entry index of a structure, to the clusters
// of n bytes from off. QEMU allows the last one to end behind the file.
func (c *checker) refer(name string, at, index, off, n int64, times uint32) {
	if !ondisk.InRange(off, n, c.src.Size()+c.clusterSize()-1) {
		c.damage(name, at, index, "%d bytes at %#x end beyond the end of the file (%d bytes)", n, off, c.src.Size())
		return
	}
	c.tally.add(off, n, times)
}
