package imagefmt

import (
	"context"
	"iter"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// State says how an image stores a range of its disk.
type State uint8

const (
	Hole       State = iota // not stored in any image of the chain: zeros
	Zero                    // marked as zeros, over whatever the backing file has
	Stored                  // plain bytes
	Compressed              // bytes that have to be unpacked
)

func (s State) String() string {
	return [...]string{"hole", "zero", "data", "compressed"}[s]
}

// MapEntry tells where a range of the disk comes from.
type MapEntry struct {
	Off, Len int64
	State    State
	Depth    int    // images of the chain above the one that answers; 0 is the image itself
	File     string // that holds the bytes; empty where there are none
	HostOff  int64  // byte of File where Stored bytes begin; -1 when they lie nowhere plainly
}

// End is the first byte after the entry.
func (e MapEntry) End() int64 { return e.Off + e.Len }

// Mapper is implemented by images that know more about a range than whether it
// is zeros. NextMapEntry returns one entry that starts exactly at off and has
// 0 < Len <= n. Callers use [Map].
type Mapper interface {
	NextMapEntry(off, n int64) (MapEntry, error)
}

// Map walks n bytes of an image from off, merging neighbours that are also
// neighbours in their file. An image without [Mapper] is described by its
// extents. It stops after the first error and when ctx ends.
func Map(ctx context.Context, img Image, off, n int64) iter.Seq2[MapEntry, error] {
	return func(yield func(MapEntry, error) bool) {
		var held MapEntry
		for end := off + n; off < end; {
			err := ctx.Err()
			var e MapEntry
			if err == nil {
				e, err = NextMapEntry(img, off, end-off)
			}
			if err != nil {
				yield(MapEntry{}, err)
				return
			}
			off = e.End()
			if held.Len > 0 && held.continuedBy(e) {
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

func (e MapEntry) continuedBy(next MapEntry) bool {
	if e.State != next.State || e.Depth != next.Depth || e.File != next.File {
		return false
	}
	return e.HostOff < 0 && next.HostOff < 0 || e.HostOff+e.Len == next.HostOff
}

// NextMapEntry is the entry of img that starts at off, at most n bytes long, which
// must lie inside the image. It is for the formats, which ask the image below
// them; others use [Map].
func NextMapEntry(img Image, off, n int64) (MapEntry, error) {
	if m, ok := img.(Mapper); ok {
		return m.NextMapEntry(off, n)
	}
	x, err := blockdev.NextExtent(img, off, n)
	e := MapEntry{Off: x.Off, Len: x.Len, State: Hole, HostOff: -1}
	if x.Kind == blockdev.Data {
		e.State = Stored
		if x.Host != nil {
			e.File, e.HostOff = x.Host.File.Name(), x.Host.Off
		}
	}
	return e, err
}
