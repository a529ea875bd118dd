package blockdev

import (
	"context"
	"fmt"
	"iter"
)

// Kind says what reading an extent gives.
type Kind uint8

const (
	Data Kind = iota // unknown bytes
	Zero             // zeros, known without reading
)

func (k Kind) String() string {
	if k == Zero {
		return "zero"
	}
	return "data"
}

// HostFile is an open file of the host, as *os.File is one.
type HostFile interface {
	Fd() uintptr
	Name() string
}

// HostPos is where the plain bytes of an extent lie in a file of the host.
type HostPos struct {
	File HostFile
	Off  int64
}

// Extent is a run of bytes of one kind.
type Extent struct {
	Off, Len int64
	Kind     Kind
	Host     *HostPos // where Off lies plainly on the host; nil when nowhere
}

// End is the first byte after the extent.
func (e Extent) End() int64 { return e.Off + e.Len }

// Extenter is implemented by devices that know about their zeros. NextExtent
// returns one extent that starts exactly at off and has 0 < Len <= n. Callers
// use the package function [NextExtent].
type Extenter interface {
	NextExtent(off, n int64) (Extent, error)
}

// NextExtent returns the extent of d that starts at off, at most n bytes long.
// The range must lie inside the device and n be positive. A device that does
// not know answers Data. A device that breaks the contract is caught here.
func NextExtent(d Device, off, n int64) (Extent, error) {
	if off < 0 || n <= 0 || off >= d.Size() || n > d.Size()-off {
		return Extent{}, fmt.Errorf("blockdev: extent %d+%d outside a device of %d bytes", off, n, d.Size())
	}
	x, ok := d.(Extenter)
	if !ok {
		return Extent{Off: off, Len: n, Kind: Data}, nil
	}
	e, err := x.NextExtent(off, n)
	if err != nil {
		return Extent{}, err
	}
	if e.Off != off || e.Len <= 0 || e.Len > n {
		return Extent{}, fmt.Errorf("blockdev: %T answered extent %d+%d when asked for %d+%d", d, e.Off, e.Len, off, n)
	}
	return e, nil
}

// mergeSize is how many bytes Extents gathers at least before it lets them go:
// whoever reads the extents should not wait until all of them were found.
const mergeSize = 256 << 20

// Extents walks d from off for n bytes, merging neighbours of one kind that are
// also neighbours on the host, to runs that need not be the longest possible. It
// stops after the first error and when ctx ends.
func Extents(ctx context.Context, d Device, off, n int64) iter.Seq2[Extent, error] {
	return func(yield func(Extent, error) bool) {
		end := off + n
		var held Extent
		for off < end {
			err := ctx.Err()
			var e Extent
			if err == nil {
				e, err = NextExtent(d, off, end-off)
			}
			if err != nil {
				yield(Extent{}, err)
				return
			}
			off = e.End()
			if held.Len > 0 && held.Len < mergeSize && continues(held, e) {
				held.Len += e.Len
				continue
			}
			if held.Len > 0 && !yield(held, nil) {
				return
			}
			held = e
		}
		if held.Len > 0 {
			yield(held, nil)
		}
	}
}

func continues(a, b Extent) bool {
	if a.Kind != b.Kind || (a.Host == nil) != (b.Host == nil) {
		return false
	}
	return a.Host == nil || (a.Host.File == b.Host.File && a.Host.Off+a.Len == b.Host.Off)
}
