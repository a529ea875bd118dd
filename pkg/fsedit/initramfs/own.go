package initramfs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"path"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	// markerPath is the first file of every segment of ours.
	markerPath = "etc/vmconv-release"
	schema     = "vmconv.initramfs-segment/1"
)

// Own is our segment at the end of a file.
type Own struct {
	Off    int64  // where the base ends: truncated to it, the file is as it was
	SHA256 string // of the base, in hex
}

// manifest is the content of the marker.
type manifest struct {
	Schema     string `json:"schema"`
	BaseLength int64  `json:"base_length"`
	BaseSHA256 string `json:"base_sha256"`
}

// OwnSegment finds the segment that an earlier [Delta] made: the last one, with
// a manifest that agrees with where it lies.
func (m *Image) OwnSegment() (Own, bool) {
	e, ok := m.Lookup(markerPath)
	if !ok || len(m.segments) == 0 || e.node.segment != len(m.segments)-1 || !e.node.kept {
		return Own{}, false
	}
	var doc manifest
	if json.Unmarshal(e.node.data, &doc) != nil || doc.Schema != schema || doc.BaseLength <= 0 {
		return Own{}, false
	}
	if !m.startsOwn(doc.BaseLength) {
		return Own{}, false
	}
	return Own{Off: doc.BaseLength, SHA256: doc.BaseSHA256}, true
}

// startsOwn reports whether nothing but NULs lies between off and the last
// segment, or off is where a frame continues the last, an lz4, segment.
func (m *Image) startsOwn(off int64) bool {
	last := m.segments[len(m.segments)-1]
	for _, frame := range last.frames {
		if frame == off {
			return true
		}
	}
	if len(m.segments) < 2 || path.Base(last.first) != path.Base(markerPath) {
		return false
	}
	before := m.segments[len(m.segments)-2]
	return off >= before.Off+before.Len && off <= last.Off
}

// Verify reads the base and tells whether it is the one that the segment was
// made for; ondisk.ErrCorrupt if not.
func (o Own) Verify(r io.ReaderAt) error {
	at := ondisk.At("initramfs", "base", 0)
	got, err := digest(r, o.Off)
	if err != nil {
		return at.Wrap(err)
	}
	if got != o.SHA256 {
		return at.Corrupt("changed since our segment was appended")
	}
	return nil
}

// ReadBase reads the initramfs without our segment, if it has one; the image's
// Size is then the length of the base. A marker whose base has changed is
// ondisk.ErrCorrupt.
func ReadBase(r io.ReaderAt, size int64, opts Options) (*Image, error) {
	m, err := Read(r, size, opts)
	if err != nil {
		return m, err
	}
	own, ok := m.OwnSegment()
	if !ok {
		return m, nil
	}
	if err := own.Verify(r); err != nil {
		return m, err
	}
	return Read(r, own.Off, opts)
}

func (m *Image) manifest() ([]byte, error) {
	sum, err := digest(m.r, m.size)
	if err != nil {
		return nil, ondisk.At("initramfs", "base", 0).Wrap(codecError(err))
	}
	doc, err := json.Marshal(manifest{schema, m.size, sum})
	return append(doc, '\n'), err
}

func digest(r io.ReaderAt, n int64) (string, error) {
	h := sha256.New()
	if k, err := io.Copy(h, io.NewSectionReader(r, 0, n)); err != nil {
		return "", err
	} else if k != n {
		return "", ondisk.Because(ondisk.ErrCorrupt, "ends early: %d of %d bytes", k, n)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
