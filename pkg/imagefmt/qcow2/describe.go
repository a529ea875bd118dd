package qcow2

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// describe turns a header into plain data. It reads the snapshot table and the
// bitmap directory, and opens no other file.
func describe(src blockdev.Device, h *header, limits ondisk.Limits) (imagefmt.Info, error) {
	info := imagefmt.Info{
		Format:      layer,
		Variant:     fmt.Sprintf("v%d", h.Version),
		VirtualSize: h.size(),
		ClusterSize: h.clusterSize(),
		Compression: compressionName(h.compression),
		Features:    h.features(),
		Encrypted:   h.CryptMethod != cryptNone,
		Dirty:       h.has(incompatDirty),
	}
	if h.backingName != "" {
		info.Backing = &imagefmt.Reference{Name: h.backingName, Format: h.backingFormat}
	}
	if h.has(incompatDataFile) {
		info.DataFile = &imagefmt.Reference{Name: h.dataFileName, Format: "raw"}
	}
	var err error
	if info.Snapshots, err = snapshotNames(src, h, limits); err != nil {
		return imagefmt.Info{}, err
	}
	if info.Bitmaps, err = bitmapNames(src, h, limits); err != nil {
		return imagefmt.Info{}, err
	}
	info.Notices = notices(info)
	return info, nil
}

func compressionName(c uint8) string {
	if c == compressionZstd {
		return "zstd"
	}
	return "zlib"
}

func (h *header) features() []string {
	var out []string
	add := func(on bool, name string) {
		if on {
			out = append(out, name)
		}
	}
	add(h.extended, "extended-l2")
	add(h.has(incompatDataFile), "data-file")
	add(h.has(incompatDataFile) && h.Autoclear&autoclearRawData != 0, "data-file-raw")
	add(h.has(incompatCorrupt), "corrupt")
	add(h.Compatible&compatLazyRefcounts != 0, "lazy-refcounts")
	add(h.CryptMethod == cryptAES, "encrypted-aes")
	add(h.CryptMethod == cryptLUKS, "encrypted-luks")
	add(h.RefcountOrder != 4, fmt.Sprintf("refcount-bits=%d", 1<<h.RefcountOrder))
	if unknown := h.Incompatible &^ incompatKnown; unknown != 0 {
		out = append(out, h.nameBits(0, unknown))
	}
	return out
}

func notices(info imagefmt.Info) []imagefmt.Notice {
	var out []imagefmt.Notice
	if n := info.Snapshots; len(n) > 0 {
		out = append(out, imagefmt.Notice{ID: "qcow2-snapshots", Text: "internal snapshots are not converted: " + listNames(n)})
	}
	if n := info.Bitmaps; len(n) > 0 {
		out = append(out, imagefmt.Notice{ID: "qcow2-bitmaps", Text: "persistent bitmaps are not converted: " + listNames(n)})
	}
	if info.Dirty {
		out = append(out, imagefmt.Notice{ID: "qcow2-dirty", Text: "the image was not closed cleanly; its data can be read, its reference counts may be wrong"})
	}
	return out
}

// listNames quotes names that somebody else chose, at most a line of them.
func listNames(names []string) string {
	const most = 8
	var b strings.Builder
	for i, n := range names {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(names)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", n)
	}
	return b.String()
}

// snapshotNames walks the snapshot table, whose entries have no fixed size.
func snapshotNames(src blockdev.Device, h *header, limits ondisk.Limits) ([]string, error) {
	snaps, err := readSnapshots(src, h, limits)
	names := make([]string, 0, len(snaps))
	for _, s := range snaps {
		names = append(names, s.name)
	}
	return names, err
}

// snapshot is an entry of the snapshot table.
type snapshot struct {
	diskSnapshot
	name string // its id when it has none
	end  int64  // of the entry, without padding
}

func readSnapshots(src blockdev.Device, h *header, limits ondisk.Limits) ([]snapshot, error) {
	var out []snapshot
	off, spent := int64(h.SnapshotsOffset), int64(0)
	for i := range h.Snapshots {
		at := ondisk.At(layer, "snapshot table", int64(h.SnapshotsOffset)).In("entry %d", i)
		s, err := ondisk.Read[diskSnapshot](src, off, binary.BigEndian)
		if err != nil {
			return nil, at.Wrap(err)
		}
		if s.ExtraSize > 1024 {
			return nil, at.TooBig("%d bytes of extra data", s.ExtraSize)
		}
		n := int64(s.IDSize) + int64(s.NameSize)
		if spent += n; spent > limits.Table {
			return nil, at.TooBig("more than %d bytes of names", limits.Table)
		}
		text, err := ondisk.Bytes(src, off+diskSnapshotSize+int64(s.ExtraSize), n)
		if err != nil {
			return nil, at.Wrap(err)
		}
		name := string(text[s.IDSize:])
		if name == "" {
			name = string(text)
		}
		end := off + diskSnapshotSize + int64(s.ExtraSize) + n
		out = append(out, snapshot{s, name, end})
		off = ondisk.AlignUp(end, 8)
	}
	return out, nil
}

// bitmap is an entry of the bitmap directory.
type bitmap struct {
	diskBitmap
	name string
}

func bitmapNames(src blockdev.Device, h *header, limits ondisk.Limits) ([]string, error) {
	bitmaps, err := readBitmaps(src, h, limits)
	var names []string
	for _, b := range bitmaps {
		names = append(names, b.name)
	}
	return names, err
}

// readBitmaps lists the persistent bitmaps, if the image says that they are
// consistent with it.
func readBitmaps(src blockdev.Device, h *header, limits ondisk.Limits) ([]bitmap, error) {
	if h.bitmaps.count == 0 || h.Autoclear&autoclearBitmaps == 0 {
		return nil, nil
	}
	at := ondisk.At(layer, "bitmap directory", int64(h.bitmaps.offset&(1<<62-1)))
	if h.bitmaps.size > uint64(limits.Table) || h.bitmaps.offset > uint64(src.Size()) {
		return nil, at.Corrupt("%d bytes do not fit", h.bitmaps.size)
	}
	dir, err := ondisk.Bytes(src, int64(h.bitmaps.offset), int64(h.bitmaps.size))
	if err != nil {
		return nil, at.Wrap(err)
	}
	var out []bitmap
	c := ondisk.NewCursor(dir, binary.BigEndian)
	for range min(int(h.bitmaps.count), len(dir)/diskBitmapSize) {
		var b bitmap
		fixed := c.Bytes(diskBitmapSize)
		if c.Err() != nil {
			break
		}
		if _, err := binary.Decode(fixed, binary.BigEndian, &b.diskBitmap); err != nil {
			return nil, at.Wrap(err)
		}
		c.Skip(int(b.ExtraSize))
		b.name = string(c.Bytes(int(b.NameSize)))
		out = append(out, b)
		c.Align(8)
	}
	return out, at.Wrap(c.Err())
}
