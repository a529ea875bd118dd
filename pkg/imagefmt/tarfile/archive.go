package tarfile

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Archive is the index of an archive. It does not change, and is safe for
// concurrent use.
type Archive struct {
	src     imagefmt.Source
	members []Member
	byName  map[string]int
}

// memberBytes is what a member takes in memory besides its name.
const memberBytes = 128

// Index reads the headers of an archive. Besides the errors of [Walk] it
// refuses two members of one name, with ondisk.ErrAmbiguous, and an index of
// more than Limits.Table bytes. The archive owns
// src from then on; on an error the caller keeps it.
func Index(ctx context.Context, src imagefmt.Source, limits ondisk.Limits) (*Archive, error) {
	a := &Archive{src: src, byName: map[string]int{}}
	left := limits.OrDefault().Table
	for m, err := range Walk(ctx, src, limits) {
		if err != nil {
			return nil, err
		}
		if left -= memberBytes + int64(len(m.Name)); left < 0 {
			return nil, ondisk.At(layer, "index", m.Off).TooBig("%d members are too many", len(a.members)+1)
		}
		if _, twice := a.byName[m.Name]; twice {
			return nil, ondisk.At(layer, fmt.Sprintf("member %q", m.Name), m.Off).Wrap(
				ondisk.Because(ondisk.ErrAmbiguous, "the archive holds two of this name"))
		}
		a.byName[m.Name] = len(a.members)
		a.members = append(a.members, m)
	}
	return a, nil
}

// Members lists the regular members in their order.
func (a *Archive) Members() []Member { return slices.Clone(a.members) }

// Lookup finds a member by its name, with or without leading "./".
func (a *Archive) Lookup(name string) (Member, bool) {
	i, ok := a.byName[cleanName(name)]
	if !ok {
		return Member{}, false
	}
	return a.members[i], true
}

// Open is a member as a file of its own, whose siblings are the members in its
// folder and below, and nothing else. Closing it leaves the archive open. A member that is not
// there is fs.ErrNotExist.
func (a *Archive) Open(name string) (imagefmt.Source, error) {
	m, ok := a.Lookup(name)
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: a.src.Name() + ":" + name, Err: fs.ErrNotExist}
	}
	inner, err := blockdev.NewSection(a.src, m.Off, m.Size)
	if err != nil {
		return nil, err
	}
	return &memberSource{archive: a, inner: inner, name: a.src.Name() + ":" + m.Name, folder: path.Dir(m.Name),
		identity: fmt.Sprintf("%s+%d", a.src.Identity(), m.Off)}, nil
}

// Close closes the archive's file; its members cannot be read any more.
func (a *Archive) Close() error { return a.src.Close() }

// memberSource passes all that can be known about its bytes on.
type memberSource struct {
	archive        *Archive
	inner          blockdev.Device
	name, identity string
	folder         string // in the archive
}

var (
	_ imagefmt.Source   = (*memberSource)(nil)
	_ blockdev.Extenter = (*memberSource)(nil)
	_ blockdev.Geometry = (*memberSource)(nil)
)

func (s *memberSource) Name() string                            { return s.name }
func (s *memberSource) Identity() string                        { return s.identity }
func (s *memberSource) Size() int64                             { return s.inner.Size() }
func (s *memberSource) ReadAt(p []byte, off int64) (int, error) { return s.inner.ReadAt(p, off) }
func (s *memberSource) Close() error                            { return nil }

func (s *memberSource) SectorSize() (logical, physical int) { return blockdev.SectorSize(s.inner) }

func (s *memberSource) NextExtent(off, n int64) (blockdev.Extent, error) {
	return blockdev.NextExtent(s.inner, off, n)
}

// Sibling finds a member in the same folder of the archive.
func (s *memberSource) Sibling(name string) (imagefmt.Source, error) {
	if s.folder != "." {
		name = path.Join(s.folder, name)
	}
	return s.archive.Open(name)
}
